"""All verbs of the command `tailor`. Each reads its options, calls one function and shows the result."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from typer.exceptions import Abort, TyperException

from tailored_llama.cli import catalogue, runs, stages
from tailored_llama.cli.interrupts import INTERRUPTED
from tailored_llama.errors import TailorError, one_line
from tailored_llama.memory import describe, out_of_memory

app = typer.Typer(
    name="tailor",
    help="Prune a LLaMA-family model, tune it on a few examples of a task, and prove what it still can do.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (*runs.VERBS, *stages.VERBS, *catalogue.VERBS):
    app.command(verb.__name__.rstrip("_"))(verb)  # `import_`: the verb is a keyword of Python
app.add_typer(catalogue.prompts_app, name="prompts")


@app.callback(invoke_without_command=True)
def _verb(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; a user's error is one line on stderr.

    This includes what the file system refuses about a named file: a path that is too long, no permission.
    """
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except TailorError as error:
        return _say(str(error), 2)
    except TyperException as error:
        return _say(f"{error.format_message().rstrip('.')}; see `tailor --help`", 2)
    except (MemoryError, OSError, RuntimeError) as error:
        if out_of_memory(error):
            return _say(f"{describe(error)}; use a smaller model, or a machine with more memory", 2)
        if not isinstance(error, OSError) or error.filename is None or error.strerror is None:
            raise
        return _say(f"{error.filename}: {error.strerror}; check the path and its permissions", 2)
    except (KeyboardInterrupt, Abort):
        code = 130
    if code == 130:  # typer turns KeyboardInterrupt into this exit code
        return _say(INTERRUPTED, 130)
    return code if isinstance(code, int) else 0


def _say(message: str, code: int) -> int:
    print(f"tailor: {one_line(message)}", file=sys.stderr)
    return code
