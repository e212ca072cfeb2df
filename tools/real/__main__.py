"""`make real`: download the model, import it, and run a recipe on it.

    python -m tools.real [--data DIR] [--recipe smollm2-20] [--out runs/real]

Rows and texts come from the hub, or from `--data`: a directory with a sub-directory for each task and text.
Complete steps are reused.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tailored_llama.errors import TailorError, one_line
from tools.real.fetch import fetch

MODEL = "smollm2"


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module. Returns the exit code of the first command that fails, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.real", description=__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR")
    parser.add_argument("--recipe", default="smollm2-20")
    parser.add_argument("--out", type=Path, default=Path("runs/real"), metavar="DIR")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    chosen = parser.parse_args(arguments)
    model = chosen.out / MODEL
    try:
        weights = None if (model / "manifest.json").is_file() else fetch(chosen.out / "download")
    except TailorError as error:
        print(f"real: {one_line(str(error))}", file=sys.stderr)
        return 2
    if weights is not None and (code := tailor("import", str(weights), "--out", str(model))):
        return code
    command = ["run", chosen.recipe, "--out", str(chosen.out / chosen.recipe), "--set", f"model={model}"]
    command += ["--data", str(chosen.data)] if chosen.data else []
    return tailor(*command, *(part for text in chosen.sets for part in ("--set", text)))


def tailor(*arguments: str) -> int:
    """Run `tailor` with `arguments` in a child process; returns its exit code."""
    try:
        return subprocess.call([sys.executable, "-m", "tailored_llama", *arguments])
    except KeyboardInterrupt:  # the process has reported it
        return 130


if __name__ == "__main__":
    sys.exit(main())
