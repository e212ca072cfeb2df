"""What the unpruned teacher says, asked once and kept on the disk, before the student is in memory.

The stage directory holds `outputs.safetensors`: the teacher's log-probabilities at every answer token of
every choice of the shots, and the texts it wrote with its log-probabilities at each of their tokens.
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
from tailored_llama.training.precision import Precision, choose_precision

FILE = "outputs.safetensors"
WHOLE = 4096
"""Vocabularies up to this are kept whole, larger ones as each place's `top_k`."""


def bytes_a_place(vocabulary: int, top_k: int) -> int:
    """What the distribution at one token takes on the disk: fp32, and int32 ids where it is not whole."""
    return 4 * vocabulary if vocabulary <= WHOLE else 8 * min(top_k, vocabulary)


@dataclass(frozen=True)
class Teacher:
    """An unpruned model, asked about the same token ids that its student reads."""

    model: PreTrainedModel | Path
    settings: Distill | Heal
    precision: str
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
        """`shots` with the teacher's distributions, and the texts it wrote from `prompts` with theirs.

        Its outputs are in a directory of `cache` named by what they depend on, which is noted in `working`;
        nothing is computed where that is complete. Raises TuneError for a teacher of another tokenizer or
        `vocabulary`, the student's.
        """
        config = checkpoint.open_weights(self.model).config
        self._check_tokens(int(config.vocab_size), vocabulary, tokenizer)
        asked_for = ("texts", "length", "top_k")
        settings = {key: getattr(self.settings, key) for key in asked_for} | {"precision": self.precision}
        asked = {
            "shots": digest_of([[choice.ids, choice.answer] for shot in shots for choice in shot.choices]),
            "prompts": digest_of([list(prompt) for prompt in prompts]),
        }

        def produce(folder: Path) -> None:
            checkpoint.write_tensors(folder / FILE, self._outputs(shots, tokenizer, prompts))

        inputs = merged([model_inputs("teacher", self.model), lambda: asked])
        stage = Stage(TEACHER, settings, inputs, produce, seed=self.seed)
        while True:
            directory = complete_beside(stage, cache, working)
            # Another command that asked the same, and is done, may just have removed it.
            with suppress(FileNotFoundError):
                return _read(load_file(directory / FILE), shots)

    def _check_tokens(self, theirs: int, ours: int, tokenizer: PreTrainedTokenizerBase) -> None:
        same = theirs == ours
        if same and isinstance(self.model, Path):
            same = checkpoint.load_tokenizer(self.model).get_vocab() == tokenizer.get_vocab()
        if not same:
            name = self.model if isinstance(self.model, Path) else "in memory"
            raise TuneError(
                f"teacher {name}: it has another vocabulary than the student; name the unpruned model that "
                "the student was cut from"
            )

    def _outputs(
        self, shots: Sequence[Shot], tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]]
    ) -> dict[str, Tensor]:
        try:
            return self._asked(shots, tokenizer, prompts)
        except NotFiniteError as error:
            name = self.model if isinstance(self.model, Path) else "in memory"
            raise NotFiniteError(f"teacher {name}: {error}") from None

    def _asked(
        self, shots: Sequence[Shot], tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]]
    ) -> dict[str, Tensor]:
        model = self.model
        if isinstance(model, Path):
            model, _ = load_base(model, self.precision, self.device)
        precision = choose_precision(self.precision, model.device)  # type: ignore[arg-type]
        written = write_texts(model, tokenizer, prompts, self.settings.texts, self.settings.length, self.seed)
        found = {
            "texts.ids": torch.tensor([token for text in written for token in text], dtype=torch.int32),
            "texts.lengths": torch.tensor([len(text) for text in written], dtype=torch.int32),
        }
        for name, asked in (("shots", list(shots)), ("texts", windows(written))):
            parts = distributions(model, asked, self.settings.top_k, precision)
            if parts:
                found[f"{name}.logprobs"] = torch.cat([part.logprobs for part in parts])
            if parts and parts[0].tokens is not None:
                found[f"{name}.tokens"] = torch.cat([p.tokens for p in parts if p.tokens is not None]).int()
        return found


def distributions(
    model: PreTrainedModel, shots: Sequence[Shot], top_k: int, precision: Precision
) -> list[Distributions]:
    """What `model` expects at every place of each shot that is read; on the CPU."""
    branching = can_branch(model)
    model.eval()
    found: dict[int, Distributions] = {}
    with torch.inference_mode():
        for group in track(_groups(shots), "asking the teacher"):
            batch = collate([shots[i] for i in group], branching=branching).to(model.device)
            values = logprobs(model, batch, precision)[batch.at].cpu()
            if not bool(torch.isfinite(values).all()):
                raise not_finite(model, "its predictions", "they are not finite")
            tokens = None
            if values.shape[1] > WHOLE:
                values, tokens = values.topk(min(top_k, values.shape[1]), dim=1)
            own = [shots[i] for i in group]
            ids = split_reads(tokens, own) if tokens is not None else [None] * len(own)
            for index, value, token in zip(group, split_reads(values, own), ids, strict=True):
                found[index] = Distributions(value.contiguous(), token)
    return [found[i] for i in range(len(shots))]


def _groups(shots: Sequence[Shot]) -> list[list[int]]:
    """Indices of shots of similar length, a few together."""
    order = sorted(range(len(shots)), key=lambda i: max(len(choice.ids) for choice in shots[i].choices))
    return [order[i : i + 8] for i in range(0, len(order), 8)]


def _read(found: dict[str, Tensor], shots: Sequence[Shot]) -> tuple[list[Shot], list[Shot]]:
    ids = found["texts.ids"].tolist()
    lengths = found["texts.lengths"].tolist()
    ends = accumulate(lengths)
    texts = windows([ids[end - length : end] for end, length in zip(ends, lengths, strict=True)])
    return _taught(found, "shots", shots), _taught(found, "texts", texts)


def _taught(found: dict[str, Tensor], name: str, shots: Sequence[Shot]) -> list[Shot]:
    if not shots:
        return []
    values = split_reads(found[f"{name}.logprobs"], shots)
    kept = found.get(f"{name}.tokens")
    tokens = split_reads(kept.long(), shots) if kept is not None else [None] * len(shots)
    return [
        replace(shot, teacher=Distributions(value, token))
        for shot, value, token in zip(shots, values, tokens, strict=True)
    ]
