"""User-facing errors. Each ends the command with one line on stderr and exit code 2.

    TailorError (a ValueError)
    ├── RecipeError        a key, a value or a combination of settings
    ├── PluginError        a plugin folder, or a file in it
    ├── CheckpointError    a model directory: missing, truncated, pickled
    │   ├── FamilyError    an unknown architecture or config attribute
    │   └── NotFiniteError weights or outputs of a model that contain NaN or infinity
    ├── TaskError          a task, a prompt or a field of it
    │   └── DataError      the rows of a task: a split, a label, too few of them
    ├── PlanError          a ratio, a layer range or a budget that cannot be met
    ├── TuneError          a combination that cannot be tuned; an adapter of another base
    │   └── DivergedError  a loss or a gradient that is not a number, or explodes
    ├── MemoryLimitError   a setting that needs more memory than the device or the machine has
    └── OutputError        an output path that is in use, cannot be written, or is on a full disk

A message states what is wrong, where, and what to do, in one line of at most LINE characters. Values from
user input are formatted with `shown`.
"""

from __future__ import annotations

import reprlib
from typing import Any

LINE = 600
"""Maximum number of characters of a message."""
SHOWN = 200
"""Maximum number of characters of one value in a message."""


def shown(value: Any, limit: int = SHOWN) -> str:
    """`repr(value)` on one line, truncated to `limit` characters.

    The work is bounded: only the first items of the first levels of a nested value are visited, since YAML
    aliases can make it very large.
    """
    short = reprlib.Repr()
    short.maxlevel, short.maxlist, short.maxtuple, short.maxset, short.maxdict = 4, 8, 8, 8, 8
    short.maxstring = short.maxlong = short.maxother = 4 * limit  # reprlib omits the middle
    try:
        text = " ".join(short.repr(value).split())
    except ValueError:  # Python refuses to format integers of thousands of digits
        text = f"<{type(value).__name__} that is too large to show>"
    return text if len(text) <= limit else f"{text[:limit]}..."


def one_line(message: str) -> str:
    """`message` without line breaks and control characters. A long message is shortened in the middle, since
    its beginning and end state where the error is and what to do.
    """
    # Scan only 4 times the limit: enough after collapsing spaces, and a gigabyte is never scanned.
    if len(message) > 4 * LINE:
        message = f"{message[: 2 * LINE]} ... {message[-2 * LINE :]}"
    text = " ".join(message.split())
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    head = LINE * 2 // 3
    return text if len(text) <= LINE else f"{text[:head].rstrip()} ... {text[head + 5 - LINE :].lstrip()}"


class TailorError(ValueError):
    """Base of every error that the user can correct."""

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class RecipeError(TailorError):
    """An invalid recipe key, value or combination of settings."""


class PluginError(TailorError):
    """A plugin folder, or a file in it, that cannot be used."""


class CheckpointError(TailorError):
    """A model directory that cannot be read, or is unsafe or unsupported."""


class FamilyError(CheckpointError):
    """An architecture or a config attribute that the tables of slices do not support."""


class NotFiniteError(CheckpointError):
    """Weights, logits or losses of a model that contain NaN or infinity."""


class TaskError(TailorError):
    """A task, a prompt or a field that does not exist."""


class DataError(TaskError):
    """Rows of a task that are missing, too few or malformed."""


class PlanError(TailorError):
    """A ratio, layer range or budget that cannot be met."""


class TuneError(TailorError):
    """Tuning is impossible with these settings, or an adapter belongs to another base."""


class DivergedError(TuneError):
    """Training whose loss diverged."""


class MemoryLimitError(TailorError):
    """A setting that needs more memory than the device or the machine has."""


class OutputError(TailorError):
    """An output path that cannot be written, or only by overwriting something else."""
