"""Handling of Ctrl-C. It is installed before any library is loaded, so this module has no slow imports."""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = "interrupted; rerun the same command to resume"


class Interrupts:
    """What Ctrl-C does: before the verb and after it, it ends the process at once, since nothing is being
    written; in between it raises KeyboardInterrupt, which cleans up. Where the parent ignores it, as `nohup`
    does, so do we.
    """

    def __init__(self) -> None:
        self.seen = False
        self.exit_from_now_on()

    def exit_from_now_on(self) -> None:
        self._set(lambda *_: os._exit(report_interrupted()))

    def raise_from_now_on(self) -> None:
        self._set(self._raise)

    def end(self) -> None:
        """Let a second Ctrl-C, during the shutdown of the interpreter, end it without a traceback."""
        self._set(signal.SIG_DFL)

    def _raise(self, _signal: int, _frame: FrameType | None) -> None:
        self.seen = True
        raise KeyboardInterrupt

    @staticmethod
    def _set(handler: object) -> None:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, handler)  # type: ignore[arg-type]


def report_interrupted() -> int:
    """Print one line on stderr; returns the exit code."""
    sys.stderr.write(f"tailor: {INTERRUPTED}\n")
    sys.stderr.flush()
    return 130
