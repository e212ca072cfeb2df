"""Reports: one self-contained page over one or several runs, and the same figures as terminal tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tailored_llama.errors import OutputError, TailorError
from tailored_llama.reporting.sweep import sweep_tables
from tailored_llama.reporting.terminal import tables
from tailored_llama.results import MatrixResults, SweepResults

__all__ = ["check_page", "report", "report_matrix", "report_sweep", "sweep_tables", "tables"]


def report(directories: str | Path | Sequence[str | Path], out: str | Path) -> Path:
    """Write the page over one or more run directories to the file `out`, and return it.

    It has no `settings`: the page shows what the directories hold. Each directory holds a results.json that
    `run` or `evaluate` wrote; plan, losses and prompts are shown as far as they lie beside it. Or it holds
    what `tailor measure --out` wrote, whose speeds are put beside the
    runs of these models. The page needs no network: style, script and pictures are in it. Raises
    OutputError if a directory holds no results, or `out` cannot be written.
    """
    places = [directories] if isinstance(directories, str | Path) else directories
    # Pictures and configs need slow imports, which a terminal table does not.
    from jinja2 import TemplateError

    from tailored_llama.checkpoint import write_text
    from tailored_llama.reporting.page import page
    from tailored_llama.reporting.read import read_all

    out = Path(out)
    check_page(out)
    try:
        text = page(*read_all(places))
    except TailorError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, TemplateError) as error:
        # A recipe in a results.json has no model that is checked when it is read.
        problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise OutputError(
            f"{', '.join(map(str, places))}: no page can be made of what is there ({problem}); a file "
            "is damaged or of another version of this package: make the run again, with --verify"
        ) from error
    write_text(out, text)
    return out


def check_page(out: Path) -> None:
    """OutputError if no page can be written to `out`, or it would replace a file that is none."""
    from tailored_llama.checkpoint import check_file

    if out.is_dir():
        raise OutputError(f"{out} is a directory; name the page's file, e.g. {out / 'report.html'}")
    check_file(out)
    if out.is_file():
        with out.open("rb") as file:
            start = file.read(100)
        if start.strip() and not start.lstrip().lower().startswith(b"<!doctype html"):
            raise OutputError(f"{out} exists and is no page; name another file")


def report_sweep(document: SweepResults, out: str | Path) -> Path:
    """Write the page over a sweep (`sweep.json`) to the file `out`, and return it. Raises OutputError."""
    from tailored_llama.checkpoint import write_text
    from tailored_llama.reporting.sweep_page import sweep_page

    write_text(out, sweep_page(document))
    return Path(out)


def report_matrix(results: MatrixResults, directory: str | Path) -> None:
    """Write `matrix.png` (a heat map) and `matrix.html` (a page with it) of a `matrix.json` to
    `directory`.
    """
    from tailored_llama.reporting.cross_task_page import write_matrix

    write_matrix(results, Path(directory))
