"""From a task's rendered shots to batches of token ids that know what is read of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tailored_llama.data import Example
from tailored_llama.data.task import Metric
from tailored_llama.scoring import Request, requests
from tailored_llama.scoring.forest import Row, shared
from tailored_llama.scoring.forward import padded, visible

Kind = Literal["shots", "texts", "replay"]

# Padded tokens of one forward pass: a step of 64 long prompts runs as several, so that memory does not depend
# on the batch size. Large enough to keep a GPU busy with a 7B model.
MICRO_BATCH_TOKENS = 2048
# Steps whose shots are sorted by length together: 1 would leave the padding, many would make the steps the
# same in every epoch.
POOL = 4


@dataclass(frozen=True)
class Distributions:
    """What a teacher expects next, in fp32 nats, at every place that is read: over the whole vocabulary in
    its order, or over the likeliest `tokens` of each place.
    """

    logprobs: Float[Tensor, "reads kept"]
    tokens: Int[Tensor, "reads kept"] | None = None


@dataclass(frozen=True)
class Shot:
    """One question as the losses see it: its choices (or only the right one), which of them is right, and
    what the task's metric multiplies the log-likelihood of each with before it compares them.
    """

    choices: tuple[Request, ...]
    gold: int = 0
    weights: tuple[float, ...] = (1.0,)
    teacher: Distributions | None = None

    @property
    def reads(self) -> int:
        """Tokens whose prediction is read."""
        return sum(len(choice.answer) for choice in self.choices)


@dataclass(frozen=True)
class Material:
    """All that a tuning learns from; `held` shots are only looked at, to stop in time."""

    shots: Sequence[Shot]
    held: Sequence[Shot] = ()
    texts: Sequence[Shot] = ()
    """Written by the teacher."""
    replay: Sequence[Shot] = ()
    """Windows of general text."""


@dataclass(frozen=True)
class Batch:
    """Shots of similar length in rows, padded on the right, where causal attention never looks.

    A row is one choice, or all choices of a question as branches of what they begin with, with `positions`
    and a `mask` (added to attention scores) that make each the sequence it is alone. A choice's last token
    is predicted, not read. `places` are the tokens, counted row after row, whose predictions are used;
    `at` says for each answer token which of them is its own, `targets` what it is, `choice` whose it is.
    """

    ids: Int[Tensor, "rows width"]
    positions: Int[Tensor, "rows width"] | None
    mask: Float[Tensor, "rows 1 width width"] | None
    places: Int[Tensor, " places"]
    at: Int[Tensor, " reads"]
    targets: Int[Tensor, " reads"]
    choice: Int[Tensor, " reads"]
    question: Int[Tensor, " choices"]
    gold: Bool[Tensor, " choices"]
    weight: Float[Tensor, " choices"]
    teacher: Distributions | None
    tokens: int
    """Tokens read, padding not counted."""
    kind: Kind = "shots"
    counts: dict[str, int] = field(default_factory=dict)
    """How many `answer` tokens (of right choices), `questions` and `reads` there are."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        moved = {
            f.name: value.to(device)
            for f in fields(self) if isinstance(value := getattr(self, f.name), Tensor)
        }  # fmt: skip
        if self.teacher is not None:
            tokens = self.teacher.tokens
            moved["teacher"] = Distributions(  # type: ignore[assignment]
                self.teacher.logprobs.to(device), None if tokens is None else tokens.to(device)
            )
        return replace(self, **moved)  # type: ignore[arg-type]


def encode(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    max_length: int,
    metric: Metric | None = None,
    vocabulary: int | None = None,
) -> list[Shot]:
    """Every example as the scorer asks it, token for token: trained is what is scored. With `metric` all of
    its choices, and the weights that this metric compares them by (Scored.probabilities); else the right
    one alone.

    No end-of-sequence token follows a choice: its score is the likelihood of its own tokens, and at few shots
    a token that is the same in every one would take a share of the loss and teach nothing. An answer that has
    to be written is followed by it, since where to end is part of what is scored.

    Raises DataError naming the row whose answer does not fit into `max_length` tokens, CheckpointError for
    a token that is not one of the model's `vocabulary`.
    """
    if metric is None:
        right = [replace(e, contexts=(e.context,), answers=(e.answer,), gold=0) for e in examples]
        return [Shot((request,)) for request in requests(tokenizer, right, max_length, vocabulary)]
    asked = requests(tokenizer, examples, max_length, vocabulary)
    shots = []
    for example in examples:
        choices = tuple(next(asked) for _ in example.answers)
        mean = sum(example.lengths) / len(example.lengths)
        weights = tuple(mean / length if metric == "acc_norm" else 1.0 for length in example.lengths)
        shots.append(Shot(choices, example.gold, weights))
    return shots


def windows(ids: Iterable[Sequence[int]]) -> list[Shot]:
    """Token sequences of which everything but the first token is to be predicted."""
    return [
        Shot((Request(row, 0, tuple(window[:-1]), tuple(window[1:]), cut=False),))
        for row, window in enumerate(ids)
    ]


@lru_cache(maxsize=4096)  # asked again in every epoch
def rows_of(choices: tuple[Request, ...], branching: bool) -> list[Row]:
    """The rows that hold a shot's choices: one where they share enough of their beginnings and the model can
    branch, else one a choice.
    """
    sequences = sorted({choice.ids for choice in choices})
    # Less than a quarter shared, and the attention of a forest costs more than it saves.
    together = branching and all(
        4 * shared(one, other) >= min(len(one), len(other)) for one, other in pairwise(sequences)
    )
    rows = []
    for group in [sequences] if together else [[sequence] for sequence in sequences]:
        rows.append(Row())
        for sequence in group:
            rows[-1].add(sequence)
    return rows


def collate(shots: Sequence[Shot], kind: Kind = "shots", *, branching: bool = False) -> Batch:
    """One padded batch; the padding id is arbitrary, since nothing that counts attends to it."""
    held = [rows_of(shot.choices, branching) for shot in shots]
    rows = sorted(chain.from_iterable(held), key=lambda row: -len(row.ids))
    width = len(rows[0].ids)
    number = {id(row): index for index, row in enumerate(rows)}
    asked = [
        (choice, number[id(row)] * width, row.paths[choice.ids])
        for shot, own in zip(shots, held, strict=True)
        for choice in shot.choices
        for row in own
        if choice.ids in row.paths
    ]
    reads = [start + node for c, start, path in asked for node in path[len(path) - len(c.answer) :]]
    places, at = torch.unique(torch.tensor(reads), return_inverse=True)
    plain = not any(row.branches for row in rows)
    lengths = torch.tensor([len(choice.answer) for choice, _, _ in asked])
    counts = torch.tensor([len(shot.choices) for shot in shots])
    gold = torch.tensor([i == shot.gold for shot in shots for i in range(len(shot.choices))])
    return Batch(
        ids=padded([row.ids for row in rows]),
        positions=None if plain else padded([row.positions for row in rows]),
        mask=None if plain else _mask(rows),
        places=places,
        at=at,
        targets=torch.tensor([token for choice, _, _ in asked for token in choice.answer]),
        choice=torch.repeat_interleave(lengths),
        question=torch.repeat_interleave(counts),
        gold=gold,
        weight=torch.tensor([weight for shot in shots for weight in shot.weights]),
        teacher=_together([shot.teacher for shot in shots if shot.teacher is not None]),
        tokens=sum(len(row.ids) for row in rows),
        kind=kind,
        counts={"answer": int(lengths[gold].sum()), "questions": len(shots), "reads": len(reads)},
    )


def _mask(rows: Sequence[Row]) -> Tensor:
    """In fp32 and of a size that bf16 holds too, for whatever precision autocast turns it into."""
    sees = visible(rows)[:, None]
    return torch.zeros(sees.shape).masked_fill_(~sees, torch.finfo(torch.bfloat16).min)


def _together(parts: Sequence[Distributions]) -> Distributions | None:
    if not parts:
        return None
    tokens = [part.tokens for part in parts if part.tokens is not None]
    return Distributions(torch.cat([part.logprobs for part in parts]), torch.cat(tokens) if tokens else None)


def epochs(
    material: Material, batch_size: int, count: int, seed: int, *, share: float = 0.0, branching: bool = False
) -> Iterator[list[list[Batch]]]:
    """For each of `count` epochs its steps, for each step its micro-batches. Every shot and every text once
    an epoch, in a new seeded order; the last step of an epoch may be smaller. Windows of `replay` are
    `share` of a step's sequences, drawn in turn.
    """
    generator = random.Random(seed)
    replayed = _endless(material.replay, generator)
    for _ in range(count):
        steps = _steps(material.shots, batch_size, generator)
        texts = list(material.texts)
        generator.shuffle(texts)
        bounds = [round(i * len(texts) / len(steps)) for i in range(len(steps) + 1)]
        yield [
            micro_batches(step, branching=branching)
            + micro_batches(texts[start:end], "texts")
            + micro_batches([next(replayed) for _ in range(_beside(len(step), share))], "replay")
            for step, (start, end) in zip(steps, pairwise(bounds), strict=True)
        ]


def _beside(shots: int, share: float) -> int:
    """How many windows make `share` of a step beside so many shots."""
    return max(1, round(shots * share / (1 - share))) if share else 0


def _endless(pool: Sequence[Shot], generator: random.Random) -> Iterator[Shot]:
    while pool:
        order = list(pool)
        generator.shuffle(order)
        yield from order


def _length(shot: Shot) -> int:
    return max(len(choice.ids) for choice in shot.choices)


def _steps(shots: Sequence[Shot], batch_size: int, generator: random.Random) -> list[list[Shot]]:
    order = list(shots)
    generator.shuffle(order)
    steps = []
    for start in range(0, len(order), POOL * batch_size):
        pool = sorted(order[start : start + POOL * batch_size], key=_length)
        steps += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    generator.shuffle(steps)
    return steps


def micro_batches(shots: Sequence[Shot], kind: Kind = "shots", *, branching: bool = False) -> list[Batch]:
    """Shots by length, in as few padded batches of at most MICRO_BATCH_TOKENS as will hold them; a shot that
    is longer than that runs alone.
    """
    sized = [(rows_of(shot.choices, branching), shot) for shot in shots]
    ordered = sorted(sized, key=lambda entry: max(len(row.ids) for row in entry[0]))
    groups: list[list[Shot]] = []
    count = 0
    for rows, shot in ordered:
        # Sorted, so this shot's longest row is the longest of its group so far.
        width = max(len(row.ids) for row in rows)
        if not groups or (count + len(rows)) * width > MICRO_BATCH_TOKENS:
            groups.append([])
            count = 0
        groups[-1].append(shot)
        count += len(rows)
    return [collate(group, kind, branching=branching) for group in groups]


def split_reads(values: Tensor, shots: Sequence[Shot]) -> list[Tensor]:
    """Rows of `values` [reads, ...] of a batch of `shots`, each shot's own."""
    bounds = [0, *accumulate(shot.reads for shot in shots)]
    return [values[start:end] for start, end in pairwise(bounds)]
