"""Few-shot sampling: k seeded training rows, balanced over labels and disjoint from the scored split."""

from __future__ import annotations

import logging
import random
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tailored_llama.data.identity import repeated
from tailored_llama.data.labels import unseen_labels, warn_of_unseen
from tailored_llama.data.rows import NoSplitError, Rows
from tailored_llama.data.task import Row, Task
from tailored_llama.errors import DataError
from tailored_llama.recipe import Tune

AUTO, ALL = "auto", "all"
"""Values of `tune.prompt` that name no wording: train in the one in which the model answers best, or in all
of them in turn and score in that one.
"""
RESERVED = 200
"""Number of training rows reserved for choosing settings; at most half of them."""
logger = logging.getLogger(__name__)
Select = Literal["balanced", "diverse"]
Overlap = Literal["drop", "refuse"]


@dataclass(frozen=True)
class Shots:
    """The drawn rows, their indices in the training split, the number of training rows dropped because they
    are also in the scored split, and the labels that no drawn row has.
    """

    rows: Rows
    indices: list[int]
    dropped: int
    unseen: tuple[str, ...] = ()


def draw(
    task: Task,
    rows: Sequence[Row],
    k: int,
    seed: int,
    *,
    scored: Sequence[Row] = (),
    select: Select = "balanced",
    overlap: Overlap = "drop",
    reserve: bool = False,
) -> Shots:
    """Draw `k` of the training `rows`; the same seed draws the same rows.

    Labels (gold indices) take turns, so their counts differ by at most one while every label has rows left.
    Of more labels than `k` it depends on the seed which are drawn. Labels that no shot has are in `unseen`,
    and a warning names them.
    Within its label a row is drawn at random (`balanced`), or, but for the first of all, as the one that is
    most unlike all that were drawn before (`diverse`). A training row that asks a question of `scored`
    (identity.py says when it is the same) is left out (`drop`) or is an error (`refuse`). With `reserve` the
    rows that `reserved` gives are left out too.

    Raises DataError if fewer than `k` rows are left, or, for `refuse`, if a row is in both splits.
    """
    where, numbers = getattr(rows, "where", f"task {task.name}"), getattr(rows, "numbers", range(len(rows)))
    repeats = _again(task, rows, scored)
    free = [index for index in range(len(rows)) if not repeats[index]]
    dropped = len(rows) - len(free)
    if dropped and overlap == "refuse":
        raise DataError(
            f"{where}: {dropped} training rows reappear in the scored split (the first is row "
            f"{numbers[repeats.index(True)] + 1}); remove them, or skip them: tune.overlap: drop"
        )
    if dropped:
        logger.info(
            "task %s: %d training rows reappear in the scored split and are not drawn", task.name, dropped
        )
    if reserve:
        kept = _reserved(task, free)
        free = [index for index in free if index not in kept]
    if k > len(free):
        also = f" ({dropped} more reappear in the scored split)" if dropped else ""
        fewer = f"request fewer (--shots {len(free)})" if free else "provide other rows"
        also += f" ({len(kept)} more are reserved: tune.reserve)" if reserve else ""
        other = ", or name the fields that tell questions apart: identity: [FIELD, ...]" if dropped else ""
        raise DataError(
            f"{k} shots requested, but {where} has {len(free)} training rows{also}; {fewer}{other}"
        )
    random.Random(seed).shuffle(free)
    by_label: dict[int, deque[int]] = defaultdict(deque)
    for index in free:
        by_label[task.label(rows[index])].append(index)
    pick = (
        _next
        if select == "balanced"
        else _farthest([_fingerprint(task, rows[i], numbers[i], where) for i in free], free)
    )
    labels, places = sorted(by_label), {label: list(queue) for label, queue in by_label.items()}
    if k < len(labels):
        random.Random(seed).shuffle(labels)
    turns = deque(by_label[label] for label in labels)
    indices: list[int] = []
    while len(indices) < k:
        queue = turns.popleft()
        indices.append(pick(queue))
        if queue:
            turns.append(queue)
    drawn = Rows((rows[index] for index in indices), where, [numbers[index] for index in indices])
    unseen = unseen_labels(task, rows, places, {task.label(row) for row in drawn})
    if unseen and k:
        warn_of_unseen(task.name, k, unseen)
    return Shots(rows=drawn, indices=indices, dropped=dropped, unseen=unseen)


def reserved(task: Task, rows: Sequence[Row], scored: Sequence[Row] = ()) -> Rows:
    """The training `rows` reserved for choosing settings: RESERVED rows, at most half; independent of the
    seed.

    Their questions are not in `scored`; `draw` with `reserve` excludes them.
    """
    where, numbers = getattr(rows, "where", f"task {task.name}"), getattr(rows, "numbers", range(len(rows)))
    again = _again(task, rows, scored)
    kept = sorted(_reserved(task, [index for index in range(len(rows)) if not again[index]]))
    return Rows((rows[index] for index in kept), where, [numbers[index] for index in kept])


def _reserved(task: Task, free: Sequence[int]) -> set[int]:
    order = list(free)
    random.Random(f"reserved {task.name}").shuffle(order)
    return set(order[: min(RESERVED, len(order) // 2)])


def draw_shots(task: Task, settings: Tune, *, seed: int, data: Path | str | None) -> Shots:
    """The rows that a tuning with these settings trains on."""
    return draw(
        task, task.rows("train", data), settings.shots, seed, scored=scored_rows(task, data),
        select=settings.select, overlap=settings.overlap, reserve=settings.reserve,
    )  # fmt: skip


def candidates(task: Task, prompt: str) -> list[str]:
    """The wordings that `tune.prompt` may stand for; TaskError for an unknown one."""
    return list(task.prompts) if prompt in (AUTO, ALL) else [task.prompt(prompt).name]


def in_turn(labels: Sequence[int], wordings: Sequence[str], seed: int, rounds: int) -> list[list[str]]:
    """For each of up to `rounds` rounds the wording of every shot, of which `labels` are given.

    From round to round a shot takes the next of `wordings` in a seeded order. The shots of a label also take
    them in turn, so that no wording tells the label. There are no more rounds than wordings.
    """
    order = list(wordings)
    random.Random(seed).shuffle(order)
    before = Counter[int]()
    places = []
    for label in labels:
        places.append(before[label])
        before[label] += 1
    count = len(order)
    return [[order[(place + shift) % count] for place in places] for shift in range(min(rounds, count))]


def scored_rows(task: Task, data: Path | str | None) -> Sequence[Row]:
    """The rows of the scored split; empty if it does not exist."""
    try:
        return task.rows("scored", data)
    except NoSplitError:
        return ()  # a task may be tuned where it is never scored; evaluation will say what is missing


def _again(task: Task, rows: Sequence[Row], scored: Sequence[Row]) -> list[bool]:
    """Of each of the `rows` whether its question is also one of `scored`."""
    if not scored:
        return [False] * len(rows)
    return repeated([task.question(row) for row in rows], [task.question(row) for row in scored])


def _next(queue: deque[int]) -> int:
    return queue.popleft()


def _farthest(texts: Sequence[str], indices: Sequence[int]) -> Callable[[deque[int]], int]:
    """A pick that takes from a queue the row whose nearest one among all taken so far is farthest:
    farthest-first traversal (Gonzalez 1985), by the cosine of TF-IDF vectors of words and pairs of words.

    `texts` are the rows of `indices`. The first pick is the queue's first; of equals the first in the queue.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b").fit_transform(texts)
    place = {index: row for row, index in enumerate(indices)}
    nearest = np.full(len(texts), -1.0)  # the cosine to the nearest row taken, of every row

    def pick(queue: deque[int]) -> int:
        index = min(queue, key=lambda candidate: nearest[place[candidate]])
        queue.remove(index)
        similar = (vectors @ vectors[place[index]].T).toarray().ravel()
        np.maximum(nearest, similar, out=nearest)
        return index

    return pick


def _fingerprint(task: Task, row: Row, number: int, where: str) -> str:
    """The words of a row in the task's first wording, by which rows are unlike; answers in any order."""
    example = task.render(next(iter(task.prompts)), row, number, where)
    texts = [*dict.fromkeys(example.contexts), *sorted(set(example.answers))]
    return "|".join(re.sub(r"\W+", " ", text.casefold()).strip() for text in texts)
