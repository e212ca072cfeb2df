"""Log-likelihoods and margins of choices: what accuracy and the choice of a prompt are made of.

Tokenisation, the left cut and the score are those of lm_eval's HFLM (version 0.4.13), so that the numbers
agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.errors import DataError
from tailored_llama.progress import track
from tailored_llama.tasks import Example, Row, Task

Metric = Literal["acc", "acc_norm"]

# Padded tokens of one forward pass: enough to keep two cores or a GPU busy, little enough that the
# activations of a 7B model stay below a few GB.
BATCH_TOKENS = 2048


@dataclass(frozen=True)
class Scored:
    """One question's choices: log-likelihoods in nats, lengths in characters, whether a context was cut."""

    loglikelihoods: tuple[float, ...]
    lengths: tuple[int, ...]
    gold: int
    cut: bool

    def values(self, metric: Metric) -> list[float]:
        """What `metric` compares: the log-likelihoods, for acc_norm each over its answer's length."""
        if metric == "acc":
            return list(self.loglikelihoods)
        return [value / length for value, length in zip(self.loglikelihoods, self.lengths, strict=True)]

    def correct(self, metric: Metric) -> bool:
        """Whether the first of the best choices is the gold one."""
        values = self.values(metric)
        return values.index(max(values)) == self.gold

    def margin(self, metric: Metric) -> float:
        """Value of the gold choice minus the best of the others: nats, for acc_norm nats per character."""
        values = self.values(metric)
        return values.pop(self.gold) - max(values)


@dataclass(frozen=True)
class Effectiveness:
    """How well a model answers in one wording: share of right answers, mean margin of the right one."""

    prompt: str
    accuracy: float
    margin: float


@dataclass(frozen=True)
class Request:
    """One choice as the model sees it: what it reads, and the answer it should predict at the end."""

    question: int
    choice: int
    ids: tuple[int, ...]
    answer: tuple[int, ...]
    cut: bool


def encode_pair(tokenizer: PreTrainedTokenizerBase, context: str, answer: str) -> tuple[list[int], list[int]]:
    """Token ids of `context` and of `answer` after it.

    White space at the end of the context belongs to the answer. The answer's ids are those that the whole
    text has beyond the length of the context alone, so that a tokenizer that merges across the boundary is
    met as in use; where it merges all of the answer, nothing is left. A beginning-of-sequence token is
    added if the tokenizer does so by itself and the text has none. An empty context is the
    beginning-of-sequence (else end-of-sequence) token.
    """
    if not context.strip():
        start = _prefix_token(tokenizer)
        ids = list(tokenizer.encode(context + answer, add_special_tokens=False))
        return ([start], ids) if ids[:1] != [start] else (ids[:1], ids[1:])
    before = _encode(tokenizer, context.rstrip())
    return before, _encode(tokenizer, context + answer)[len(before) :]


def context_length(model: PreTrainedModel) -> int:
    """Tokens that fit into the model."""
    return int(model.config.max_position_embeddings)


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    *,
    batch_size: int | None = None,
    max_length: int | None = None,
    description: str = "scoring",
) -> list[Scored]:
    """Every choice of every example, in order; log-softmax in fp32.

    `batch_size` sequences run together, or, where it is None, as many as make a good load. Contexts longer
    than `max_length` (default: the model's) lose their beginning. Raises DataError for an answer that does
    not fit.
    """
    limit = max_length or context_length(model)
    questions = list(requests(tokenizer, examples, limit))
    values = [[0.0] * len(example.answers) for example in examples]
    # Choices that differ in their last token only (yes/no, A/B) share one sequence.
    by_input: dict[tuple[int, ...], list[Request]] = defaultdict(list)
    for request in questions:
        by_input[request.ids].append(request)
    batches = list(_batches(sorted(by_input, key=len, reverse=True), batch_size))
    with torch.inference_mode():
        for batch in track(batches, description):
            for ids, logprobs in zip(batch, _logprobs(model, batch, by_input), strict=True):
                for request, value in zip(by_input[ids], logprobs, strict=True):
                    values[request.question][request.choice] = value
    cut = {request.question for request in questions if request.cut}
    return [
        Scored(tuple(values[index]), example.lengths, example.gold, index in cut)
        for index, example in enumerate(examples)
    ]


def requests(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], max_length: int
) -> Iterator[Request]:
    """Every choice of every example, tokenised and cut on the left to `max_length` tokens.

    Raises DataError naming the row where an answer alone is longer, or has no token of its own.
    """
    for question, example in enumerate(examples):
        for choice, pair in enumerate(zip(example.contexts, example.answers, strict=True)):
            context, answer = encode_pair(tokenizer, *pair)
            if not 0 < len(answer) <= max_length:
                raise DataError(
                    f"row {example.row}: choice {choice} has {len(answer)} tokens, but a model of context "
                    f"{max_length} can score 1 to {max_length}; leave the row out"
                )
            # One token more than fits, because the last one is predicted and never read.
            ids = (context + answer)[-(max_length + 1) :]
            cut = len(context) + len(answer) > max_length + 1
            yield Request(question, choice, tuple(ids[:-1]), tuple(answer), cut)


def accuracy(scored: Sequence[Scored], metric: Metric) -> float:
    """Share of questions whose best choice is the gold one."""
    return sum(question.correct(metric) for question in scored) / len(scored)


def margin(scored: Sequence[Scored], metric: Metric) -> float:
    """Mean margin of the gold choice over the best of the others."""
    return sum(question.margin(metric) for question in scored) / len(scored)


def rank_prompts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, rows: Sequence[Row]
) -> list[Effectiveness]:
    """Every wording of `task` on `rows` (training rows, never scored ones), the most effective first.

    The order is by mean margin, as the task's metric normalises it, and by name where margins are equal.
    """
    ranking = []
    for name in task.prompts:
        scored = score(model, tokenizer, task.examples(name, rows), description=f"{task.name}: prompt {name}")
        ranking.append(Effectiveness(name, accuracy(scored, task.metric), margin(scored, task.metric)))
    return sorted(ranking, key=lambda entry: (-entry.margin, entry.prompt))


def _prefix_token(tokenizer: PreTrainedTokenizerBase) -> int:
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if token is None:
        raise DataError(
            "the tokenizer has neither a beginning- nor an end-of-sequence token, so an empty context "
            "cannot be scored; use a prompt that begins with text"
        )
    return int(token)


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    token = tokenizer.bos_token if tokenizer.bos_token is not None else tokenizer.eos_token
    doubled = token is not None and text.startswith(token)
    # A text longer than the context is cut and counted here; the tokenizer need not warn about it.
    return list(tokenizer.encode(text, add_special_tokens=not doubled, verbose=False))


def _batches(sequences: Sequence[tuple[int, ...]], batch_size: int | None) -> Iterator[list[tuple[int, ...]]]:
    """Runs of `sequences` (longest first) of `batch_size`, or of at most BATCH_TOKENS padded tokens."""
    start = 0
    while start < len(sequences):
        size = batch_size or max(1, BATCH_TOKENS // len(sequences[start]))
        yield list(sequences[start : start + size])
        start += size


def _logprobs(
    model: PreTrainedModel,
    batch: Sequence[tuple[int, ...]],
    by_input: dict[tuple[int, ...], list[Request]],
) -> Iterator[list[float]]:
    """For each sequence of the batch the log-likelihoods of its requests, from one forward pass."""
    # Padding stands on the right, where causal attention never looks, so it needs no mask.
    ids = torch.zeros(len(batch), len(batch[0]), dtype=torch.long)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence)] = torch.tensor(sequence)
    starts = [len(sequence) - max(len(r.answer) for r in by_input[sequence]) for sequence in batch]
    # The head is the dearest part of a small model: it sees only places where some sequence has an answer.
    first = min(starts)
    logits = model(
        input_ids=ids.to(model.device), use_cache=False, logits_to_keep=len(batch[0]) - first
    ).logits
    for row, sequence in enumerate(batch):
        places = logits[row, starts[row] - first : len(sequence) - first].float().log_softmax(-1)
        values = []
        for request in by_input[sequence]:
            target = torch.tensor(request.answer, device=places.device)
            values.append(float(places[-len(target) :].gather(1, target[:, None]).sum()))
        yield values
