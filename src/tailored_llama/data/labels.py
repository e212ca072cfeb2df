"""The labels of a task, as option indices, and the labels that none of its shots has."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import cache

from tailored_llama.data.task import Row, Task
from tailored_llama.data.templates import names_in

logger = logging.getLogger(__name__)
READ = 100
"""Number of rows of a label that are read to find its name."""
NAMED = 10
"""Number of labels in a message; a record lists all."""


def unseen_labels(
    task: Task, rows: Sequence[Row], by_label: Mapping[int, Sequence[int]], seen: Collection[int]
) -> tuple[str, ...]:
    """The labels that are not in `seen`. Candidates are the labels of the training `rows` (`by_label` maps a
    label to row indices), and all options if every row has the same options.

    A label is named by its option text if that is the same in all its rows, else by its index.
    """
    if task.kind != "choice":
        return ()
    fixed = _same_for_all(task)
    some = next((places[0] for places in by_label.values() if places), None)
    options = task.options_of(rows[some]) if fixed and some is not None else []
    labels = sorted({*by_label, *range(len(options))} - set(seen))
    return tuple(
        options[label] if fixed else _name(task, [rows[place] for place in by_label[label][:READ]], label)
        for label in labels
    )


def _same_for_all(task: Task) -> bool:
    """Whether the options do not depend on the fields of a row."""
    return task.options is not None and names_in(task.options, expression=True) <= {"letters"}


def _name(task: Task, rows: Sequence[Row], label: int) -> str:
    texts = {task.options_of(row)[label] for row in rows}
    return texts.pop() if len(texts) == 1 else f"option {label + 1}"


@cache  # several stages of a run draw the same shots; warn once
def warn_of_unseen(task: str, shots: int, labels: tuple[str, ...]) -> None:
    """One warning line that names the first of the `labels` that no shot of `task` has."""
    named = ", ".join(label[:40] for label in labels[:NAMED])
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    logger.warning(
        "task %s: none of the %d shots has the label %s%s; use more shots (--shots), or add training rows",
        task, shots, named, more,
    )  # fmt: skip
