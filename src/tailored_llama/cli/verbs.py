"""All commands of `tailor`. Each reads its options, calls one function and shows the result."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from tailored_llama.cli import catalogue, runs, stages
from tailored_llama.cli.interrupts import INTERRUPTED
from tailored_llama.errors import TailorError, one_line
from tailored_llama.memory import describe, out_of_memory
from tailored_llama.plugins import blame, plugins_kept, use_plugins

app = typer.Typer(
    name="tailor",
    help="Prune a LLaMA-family model, tune it on a few examples of a task, and measure the result.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (*runs.VERBS, *stages.VERBS, *catalogue.VERBS):
    app.command(verb.__name__.rstrip("_"))(verb)  # `import_`: the verb is a keyword of Python
app.add_typer(catalogue.prompts_app, name="prompts")


@app.callback(invoke_without_command=True)
def _verb(
    context: typer.Context,
    plugins: Annotated[
        list[Path] | None,
        typer.Option(
            "--plugins",
            metavar="DIR",
            help="A folder with additional criteria, losses, formats and families; its code is executed. "
            "Goes before the command; repeatable. Default: TAILORED_LLAMA_PLUGINS.",
        ),
    ] = None,
) -> None:
    if plugins:
        use_plugins(*plugins)
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; a user error is one line on stderr.

    User errors include errors of the file system about a named file: a path that is too long, no permission.
    """
    with plugins_kept():
        return _execute(None if arguments is None else list(arguments))


def _execute(arguments: list[str] | None) -> int:
    try:
        code = app(args=arguments, standalone_mode=False)
    except (KeyboardInterrupt, Abort):
        code = 130
    except Exception as error:
        message = _explained(error)
        if message is None:
            raise
        return _say(message, 2)
    if code == 130:  # typer turns KeyboardInterrupt into this exit code
        return _say(INTERRUPTED, 130)
    return code if isinstance(code, int) else 0


def _explained(error: Exception) -> str | None:
    """A one-line message for a user error; None for an internal error."""
    if isinstance(error, TailorError):
        return str(error)
    if isinstance(error, TyperException):
        return f"{error.format_message().rstrip('.')}; see `tailor --help`"
    if isinstance(error, (MemoryError, OSError, RuntimeError)) and out_of_memory(error):
        return f"{describe(error)}; use a smaller model, or a machine with more memory"
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename}: {error.strerror}; check the path and its permissions"
    of_plugin = blame(error)
    return None if of_plugin is None else str(of_plugin)


def _say(message: str, code: int) -> int:
    print(f"tailor: {one_line(message)}", file=sys.stderr)
    return code
