"""The entry point of the command `tailor`. It handles Ctrl-C before it loads any library."""

from __future__ import annotations

import os
import sys

from tailored_llama.cli.interrupts import Interrupts, report_interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit codes: 0 success, 2 user error, 1 internal error, 130 interrupted."""
    interrupts = Interrupts()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from tailored_llama import machine

    machine.settle()
    _set_up_messages()
    from tailored_llama.cli.verbs import execute

    interrupts.raise_from_now_on()
    try:
        code = execute(arguments)
        interrupts.exit_from_now_on()
    except KeyboardInterrupt:  # it came just before or after what `execute` catches
        code = report_interrupted()
    except Exception:
        # A library that is interrupted during its import may raise another error.
        if not interrupts.seen:
            raise
        code = report_interrupted()
    if code == 130:
        interrupts.end()
    sys.exit(code)


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run one command line in this process and return its exit code; see `verbs.execute`."""
    from tailored_llama.cli.verbs import execute as run

    return run(arguments)


def _set_up_messages() -> None:
    import logging
    import warnings

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("tailored_llama").setLevel(logging.INFO)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)  # warnings of the libraries about each other
