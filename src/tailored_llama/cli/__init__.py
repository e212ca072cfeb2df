"""The command `tailor`. Thin: every verb reads its options, calls one function and shows what it returned."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence

import typer
from typer.exceptions import Abort, TyperException

from tailored_llama import machine
from tailored_llama.cli import catalogue, runs, stages
from tailored_llama.errors import TailorError

app = typer.Typer(
    name="tailor",
    help="Prune a LLaMA-family model, tune it on a few examples of a task, and prove what it still can do.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (*runs.VERBS, *stages.VERBS, *catalogue.VERBS):
    app.command()(verb)
app.add_typer(catalogue.prompts_app, name="prompts")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit codes: 0 done, 2 the user's to mend, 1 ours, 130 interrupted."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    machine.settle()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("tailored_llama").setLevel(logging.INFO)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)  # of the libraries, about each other
    sys.exit(execute(arguments))


@app.callback(invoke_without_command=True)
def _verb(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; what the user can mend is one line on stderr."""
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
        return code if isinstance(code, int) else 0
    except TailorError as error:
        return _say(str(error), 2)
    except TyperException as error:
        return _say(f"{error.format_message().rstrip('.')}; see `tailor --help`", 2)
    except (KeyboardInterrupt, Abort):
        return _say("interrupted; the same command goes on where this one stopped", 130)


def _say(message: str, code: int) -> int:
    print(f"tailor: {' '.join(message.split())}", file=sys.stderr)
    return code
