"""What can go wrong by the user's hand. Everything here ends the command with one line and exit code 2.

    TailorError (a ValueError)
    ├── RecipeError        a key, a value or a combination of settings
    ├── CheckpointError    a model directory: missing, truncated, pickled
    │   ├── FamilyError    an architecture, or a config attribute, that is not known
    │   └── NotFiniteError weights, or what a model computes, that hold NaN or an infinity
    ├── TaskError          a task, a prompt or a field of it
    │   └── DataError      the rows of a task: a split, a label, too few of them
    ├── PlanError          a ratio, a layer range or a budget that cannot be met
    ├── TuneError          a combination that cannot be tuned; an adapter of another base
    │   └── DivergedError  a loss or a gradient that is not a number, or explodes
    ├── MemoryLimitError   a setting that asks for more memory than the device or the machine has
    └── OutputError        an output path that holds something else, or no space for it

A message says what is wrong, where, and what to do, in one line.
"""

from __future__ import annotations


class TailorError(ValueError):
    """Base of every mistake that the user can mend."""


class RecipeError(TailorError):
    """A recipe key, a value or a combination that makes no sense."""


class CheckpointError(TailorError):
    """A model directory that cannot be read, or should not be."""


class FamilyError(CheckpointError):
    """An architecture or a config attribute that the tables of slices do not know."""


class NotFiniteError(CheckpointError):
    """Weights, logits or losses of a model that hold NaN or an infinity."""


class TaskError(TailorError):
    """A task, a prompt or a field that does not exist."""


class DataError(TaskError):
    """Rows of a task that are missing, too few or malformed."""


class PlanError(TailorError):
    """A ratio, layer range or budget that cannot be met."""


class TuneError(TailorError):
    """Tuning that cannot be done, or an adapter that belongs to another base."""


class DivergedError(TuneError):
    """Training whose loss went astray."""


class MemoryLimitError(TailorError):
    """A setting that asks for more memory than the device or the machine has."""


class OutputError(TailorError):
    """An output path that cannot be written without losing something."""
