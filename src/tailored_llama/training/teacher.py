"""Outputs of the unpruned teacher, computed once and stored on disk before the student is loaded.

The stage directory contains `outputs.safetensors`: the teacher's log-probabilities at every answer token of
every choice of the shots, and its sampled texts with its log-probabilities at each of their tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.errors import NotFiniteError, TuneError
from tailored_llama.progress import track
from tailored_llama.recipe import Distill, Heal
from tailored_llama.scoring import can_branch, not_finite
from tailored_llama.stage import TEACHER, Stage, Working, complete_beside
from tailored_llama.stage.inputs import digest_of, merged, model_inputs
from tailored_llama.training.base_model import load_base
from tailored_llama.training.batches import Distributions, Shot, collate, split_reads, windows
from tailored_llama.training.forward import logprobs
from tailored_llama.training.generation import write_texts
from tailored_llama.training.precision import Precision, Requested, choose_precision

FILE = "outputs.safetensors"
WHOLE = 4096
"""Distributions over vocabularies up to this size are stored completely, others as the `top_k` of
each token.
"""


def bytes_a_place(vocabulary: int, top_k: int) -> int:
    """Bytes of the stored distribution at one token: fp32, plus int32 ids if it is not complete."""
    return 4 * vocabulary if vocabulary <= WHOLE else 8 * min(top_k, vocabulary)


@dataclass(frozen=True)
class Teacher:
    """An unpruned model whose outputs are computed on the token ids that its student reads."""

    model: PreTrainedModel | Path
    settings: Distill | Heal
    precision: Requested
    seed: int
    device: str | None

    def teach(
        self,
        shots: Sequence[Shot],
        cache: Path,
        tokenizer: PreTrainedTokenizerBase,
        vocabulary: int,
        prompts: Sequence[Sequence[int]],
        working: Working,
    ) -> tuple[list[Shot], list[Shot]]:
        """(`shots` with the teacher's distributions, texts sampled from `prompts` with theirs).

        The outputs are stored in a directory of `cache` that is named by their fingerprint and recorded in
        `working`; a complete one is reused. Raises TuneError if tokenizer or `vocabulary` of the teacher
        differ from the student's.
        """
        config = checkpoint.open_weights(self.model).config
        self._check_tokens(int(config.vocab_size), vocabulary, tokenizer)
        names = ("texts", "length", "top_k")
        settings = {key: getattr(self.settings, key) for key in names} | {"precision": self.precision}
        digests = {
            "shots": digest_of([[choice.ids, choice.answer] for shot in shots for choice in shot.choices]),
            "prompts": digest_of([list(prompt) for prompt in prompts]),
        }

        def produce(folder: Path) -> None:
            checkpoint.write_tensors(folder / FILE, self._outputs(shots, tokenizer, prompts))

        inputs = merged([model_inputs("teacher", self.model), lambda: digests])
        stage = Stage(TEACHER, settings, inputs, produce, seed=self.seed)
        while True:
            directory = complete_beside(stage, cache, working)
            # Another command that used the same outputs may have just finished and removed them.
            with suppress(FileNotFoundError):
                return _read(load_file(directory / FILE), shots)

    def _check_tokens(self, teacher_size: int, student_size: int, tokenizer: PreTrainedTokenizerBase) -> None:
        same = teacher_size == student_size
        if same and isinstance(self.model, Path):
            same = checkpoint.load_tokenizer(self.model).get_vocab() == tokenizer.get_vocab()
        if not same:
            name = self.model if isinstance(self.model, Path) else "in memory"
            raise TuneError(
                f"teacher {name}: its vocabulary differs from the student's; name the unpruned model that "
                "the student was pruned from"
            )

    def _outputs(
        self, shots: Sequence[Shot], tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]]
    ) -> dict[str, Tensor]:
        try:
            return self._compute(shots, tokenizer, prompts)
        except NotFiniteError as error:
            name = self.model if isinstance(self.model, Path) else "in memory"
            raise NotFiniteError(f"teacher {name}: {error}") from None

    def _compute(
        self, shots: Sequence[Shot], tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]]
    ) -> dict[str, Tensor]:
        model = self.model
        if isinstance(model, Path):
            model, _ = load_base(model, self.precision, self.device)
        precision = choose_precision(self.precision, model.device)
        texts = write_texts(model, tokenizer, prompts, self.settings.texts, self.settings.length, self.seed)
        result = {
            "texts.ids": torch.tensor([token for text in texts for token in text], dtype=torch.int32),
            "texts.lengths": torch.tensor([len(text) for text in texts], dtype=torch.int32),
        }
        for name, sequences in (("shots", list(shots)), ("texts", windows(texts))):
            parts = distributions(model, sequences, self.settings.top_k, precision)
            if parts:
                result[f"{name}.logprobs"] = torch.cat([part.logprobs for part in parts])
            if parts and parts[0].tokens is not None:
                result[f"{name}.tokens"] = torch.cat([p.tokens for p in parts if p.tokens is not None]).int()
        return result


def distributions(
    model: PreTrainedModel, shots: Sequence[Shot], top_k: int, precision: Precision
) -> list[Distributions]:
    """The distributions of `model` at every position of each shot that is read, on the CPU."""
    branching = can_branch(model)
    model.eval()
    result: dict[int, Distributions] = {}
    with torch.inference_mode():
        for group in track(_groups(shots), "teacher predictions"):
            batch = collate([shots[i] for i in group], branching=branching).to(model.device)
            values = logprobs(model, batch, precision)[batch.at].cpu()
            if not bool(torch.isfinite(values).all()):
                raise not_finite(model, "its predictions", "they are not finite")
            tokens = None
            if values.shape[1] > WHOLE:
                values, tokens = values.topk(min(top_k, values.shape[1]), dim=1)
            group_shots = [shots[i] for i in group]
            ids = split_reads(tokens, group_shots) if tokens is not None else [None] * len(group_shots)
            for index, value, token in zip(group, split_reads(values, group_shots), ids, strict=True):
                result[index] = Distributions(value.contiguous(), token)
    return [result[i] for i in range(len(shots))]


def _groups(shots: Sequence[Shot]) -> list[list[int]]:
    """Indices of shots of similar length, a few together."""
    order = sorted(range(len(shots)), key=lambda i: max(len(choice.ids) for choice in shots[i].choices))
    return [order[i : i + 8] for i in range(0, len(order), 8)]


def _read(stored: dict[str, Tensor], shots: Sequence[Shot]) -> tuple[list[Shot], list[Shot]]:
    ids = stored["texts.ids"].tolist()
    lengths = stored["texts.lengths"].tolist()
    ends = accumulate(lengths)
    texts = windows([ids[end - length : end] for end, length in zip(ends, lengths, strict=True)])
    return _with_distributions(stored, "shots", shots), _with_distributions(stored, "texts", texts)


def _with_distributions(stored: dict[str, Tensor], name: str, shots: Sequence[Shot]) -> list[Shot]:
    if not shots:
        return []
    values = split_reads(stored[f"{name}.logprobs"], shots)
    token_ids = stored.get(f"{name}.tokens")
    tokens = split_reads(token_ids.long(), shots) if token_ids is not None else [None] * len(shots)
    return [
        replace(shot, teacher=Distributions(value, token))
        for shot, value, token in zip(shots, values, tokens, strict=True)
    ]
