"""From a task's rendered shots to batches of token ids that know where the answers are."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tailored_llama.scoring import Request, requests
from tailored_llama.tasks import Example

# Padded tokens of one forward pass: a step of 64 long prompts runs as several, so that memory does not depend
# on the batch size. Large enough to keep a GPU busy with a 7B model.
MICRO_BATCH_TOKENS = 2048
# Steps whose shots are sorted by length together: 1 would leave the padding, many would make the steps the
# same in every epoch.
POOL = 4


@dataclass(frozen=True)
class Batch:
    """Shots of similar length, padded on the right, where causal attention never looks.

    `ids` lacks each shot's last token: it is predicted, not read. `predicts` marks the places whose next
    token is an answer's, `targets` holds these next tokens in the order of the marks.
    """

    ids: Int[Tensor, "sequences length"]
    predicts: Bool[Tensor, "sequences length"]
    targets: Int[Tensor, " answer_tokens"]
    tokens: int
    """Tokens read, padding not counted."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return replace(
            self, ids=self.ids.to(device), predicts=self.predicts.to(device), targets=self.targets.to(device)
        )


def encode(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], max_length: int) -> list[Request]:
    """The right choice of every example as the scorer asks it, token for token: trained is what is scored.

    No end-of-sequence token follows a choice: its score is the likelihood of its own tokens, and at few shots
    a token that is the same in every one would take a share of the loss and teach nothing. An answer that has
    to be written is followed by it, since where to end is part of what is scored.

    Raises DataError naming the row whose answer does not fit into `max_length` tokens.
    """
    right = [replace(e, contexts=(e.context,), answers=(e.answer,), gold=0) for e in examples]
    return list(requests(tokenizer, right, max_length))


def collate(shots: Sequence[Request]) -> Batch:
    """One padded batch; the padding id is arbitrary, since nothing that counts attends to it."""
    lengths = [len(shot.ids) for shot in shots]
    ids = torch.zeros(len(shots), max(lengths), dtype=torch.long)
    predicts = torch.zeros_like(ids, dtype=torch.bool)
    for row, (shot, length) in enumerate(zip(shots, lengths, strict=True)):
        ids[row, :length] = torch.tensor(shot.ids)
        predicts[row, length - len(shot.answer) : length] = True
    targets = torch.tensor([token for shot in shots for token in shot.answer])
    return Batch(ids, predicts, targets, tokens=sum(lengths))


def epochs(shots: Sequence[Request], batch_size: int, count: int, seed: int) -> Iterator[list[list[Batch]]]:
    """For each of `count` epochs its steps, for each step its micro-batches. Every shot once an epoch, in a
    new seeded order; the last step of an epoch may be smaller.
    """
    generator = random.Random(seed)
    for _ in range(count):
        yield [micro_batches(step) for step in _steps(shots, batch_size, generator)]


def _steps(shots: Sequence[Request], batch_size: int, generator: random.Random) -> list[list[Request]]:
    order = list(shots)
    generator.shuffle(order)
    steps = []
    for start in range(0, len(order), POOL * batch_size):
        pool = sorted(order[start : start + POOL * batch_size], key=lambda shot: len(shot.ids))
        steps += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    generator.shuffle(steps)
    return steps


def micro_batches(step: Sequence[Request]) -> list[Batch]:
    """One step's shots by length, in as few padded batches of at most MICRO_BATCH_TOKENS as will hold them; a
    shot that is longer than that runs alone.
    """
    groups: list[list[Request]] = [[]]
    for shot in sorted(step, key=lambda shot: len(shot.ids)):
        # Sorted, so this one is the longest of its group so far.
        if groups[-1] and (len(groups[-1]) + 1) * len(shot.ids) > MICRO_BATCH_TOKENS:
            groups.append([])
        groups[-1].append(shot)
    return [collate(group) for group in groups]
