"""The few shots: k training rows by seed, balanced over labels, none of them also in the scored split."""

from __future__ import annotations

import logging
import random
import re
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from tailored_llama.errors import DataError
from tailored_llama.tasks.task import Row, Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shots:
    """The rows drawn, their indices in the training split, and how many rows the guard took out."""

    rows: list[Row]
    indices: list[int]
    dropped: int


def draw(task: Task, rows: Sequence[Row], k: int, seed: int, *, scored: Sequence[Row] = ()) -> Shots:
    """`k` of the training `rows`, the same ones for the same seed.

    Labels (gold indices) take turns, so their counts differ by at most one while every label has rows left.
    A training row whose text, but for case, spacing and punctuation, is also in `scored` is never drawn.

    Raises DataError where fewer than `k` rows are left.
    """
    where = getattr(rows, "where", f"task {task.name}")
    seen = {_fingerprint(task, row) for row in scored}
    free = [index for index, row in enumerate(rows) if not seen or _fingerprint(task, row) not in seen]
    dropped = len(rows) - len(free)
    if dropped:
        logger.info(
            "task %s: %d training rows reappear in the scored split and are not drawn", task.name, dropped
        )
    if k > len(free):
        also = f" ({dropped} more reappear in the scored split)" if dropped else ""
        raise DataError(
            f"{k} shots asked, but {where} has {len(free)} training rows{also}; "
            f"ask for fewer (--shots {len(free)})"
        )
    random.Random(seed).shuffle(free)
    by_label: dict[int, deque[int]] = defaultdict(deque)
    for index in free:
        by_label[task.label(rows[index])].append(index)
    turns = deque(by_label[label] for label in sorted(by_label))
    indices: list[int] = []
    while len(indices) < k:
        queue = turns.popleft()
        indices.append(queue.popleft())
        if queue:
            turns.append(queue)
    return Shots(rows=[rows[index] for index in indices], indices=indices, dropped=dropped)


def _fingerprint(task: Task, row: Row) -> str:
    """The row in the task's first wording without case, spacing and punctuation; answers in any order."""
    example = task.render(next(iter(task.prompts)), row)
    texts = [*dict.fromkeys(example.contexts), *sorted(set(example.answers))]
    return "|".join(re.sub(r"\W+", " ", text.casefold()).strip() for text in texts)
