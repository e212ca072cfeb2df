"""Write tables of finished sweeps into a page.

    python -m tailored_llama.workflows.sweep DIR... --write docs/lab/world.md

For each sweep the page has a pair of markers with the directory's name; the table is written between them:

    <!-- sweep: lab-paper -->
    <!-- end -->

Without `--write` the tables are printed.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from tailored_llama import checkpoint
from tailored_llama.errors import OutputError, TailorError
from tailored_llama.reporting.sweep import TITLE, failures, markdown
from tailored_llama.results import SweepResults, parse
from tailored_llama.workflows.sweep import SWEEP


def block(directory: Path) -> str:
    """The table of the sweep in `directory`, its caption, failed cells and the number of missing cells."""
    document = parse(SweepResults, directory / SWEEP, checkpoint.read_json(directory / SWEEP))
    missing = [cell.name for cell in document.cells if not cell.finished]
    notes = [TITLE, failures(document), f"{len(missing)} cells are not finished." if missing else None]
    return f"{markdown(document)}\n{' '.join(filter(None, notes))}\n"


def fill(page: str, name: str, text: str) -> str:
    """`page` with `text` between the markers of `name`; OutputError if it has none."""
    # Only up to the next end marker: if it is missing, the following text belongs to another sweep.
    inside = r"(?:(?!<!-- sweep: ).)*?"
    marks = re.compile(rf"(<!-- sweep: {re.escape(name)} -->\n){inside}(<!-- end -->)", re.DOTALL)
    if not marks.search(page):
        raise OutputError(f"the page has no '<!-- sweep: {name} -->' ... '<!-- end -->'; add them")
    return marks.sub(lambda match: match[1] + "\n" + text + "\n" + match[2], page, count=1)


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directories", nargs="+", type=Path)
    parser.add_argument("--write", type=Path, metavar="PAGE.md")
    chosen = parser.parse_args(arguments)
    try:
        blocks = {directory.resolve().name: block(directory) for directory in chosen.directories}
        if chosen.write is None:
            print("\n".join(f"## {name}\n\n{text}" for name, text in blocks.items()))
            return 0
        page = chosen.write.read_text(encoding="utf-8")
        for name, text in blocks.items():
            page = fill(page, name, text)
        checkpoint.write_text(chosen.write, page)
    except (TailorError, OSError) as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
