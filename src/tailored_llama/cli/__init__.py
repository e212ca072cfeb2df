"""The command `tailor`: its entry point. It answers Ctrl-C before it loads any library."""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

INTERRUPTED = "interrupted; rerun the same command to resume"


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit codes: 0 done, 2 an error of the user's, 1 a bug, 130 interrupted."""
    interrupts = _Interrupts()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from tailored_llama import machine

    machine.settle()
    _set_up_messages()
    from tailored_llama.cli.verbs import execute

    interrupts.raise_from_now_on()
    try:
        code = execute(arguments)
    except Exception:
        # A library that is interrupted while it is imported may raise an error of its own.
        if not interrupts.seen:
            raise
        code = _interrupted()
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
    warnings.filterwarnings("ignore", category=FutureWarning)  # of the libraries, about each other


class _Interrupts:
    """What Ctrl-C does: at first it ends the process at once, since nothing has been written yet; then it
    raises KeyboardInterrupt, which cleans up. Where the parent ignores it, as `nohup` does, so do we.
    """

    def __init__(self) -> None:
        self.seen = False
        self._set(lambda *_: os._exit(_interrupted()))

    def raise_from_now_on(self) -> None:
        self._set(self._raise)

    def end(self) -> None:
        """A second Ctrl-C, while the interpreter shuts down, ends it without a traceback."""
        self._set(signal.SIG_DFL)

    def _raise(self, _signal: int, _frame: FrameType | None) -> None:
        self.seen = True
        raise KeyboardInterrupt

    @staticmethod
    def _set(handler: object) -> None:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, handler)  # type: ignore[arg-type]


def _interrupted() -> int:
    sys.stderr.write(f"tailor: {INTERRUPTED}\n")
    sys.stderr.flush()
    return 130
