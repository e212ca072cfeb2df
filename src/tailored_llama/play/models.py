"""The models on the page: loading, display names, and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint, families
from tailored_llama.data import Example, Metric
from tailored_llama.data.tokens import Encoder, check_ids
from tailored_llama.errors import TuneError
from tailored_llama.machine import device_named
from tailored_llama.memory import memory_for
from tailored_llama.profiling.greedy import decode
from tailored_llama.results import ShotsRecord
from tailored_llama.scoring import context_length, embedding_rows, score, text_ends


@dataclass(frozen=True)
class Answer:
    """A model's continuation of a prompt, with its speed (tokens per second, seconds to the first token)."""

    text: str
    tokens: int
    first: float
    rate: float | None
    read: int
    cut: bool


@dataclass(frozen=True)
class Player:
    """One model on the page: its display name, sizes, and what it was tuned on (`shots.json`)."""

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    shots: ShotsRecord | None = None

    @property
    def params(self) -> int:
        """Number of parameters, from the config."""
        return families.parameter_count(self.model.config)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for 64 tokens, from the config."""
        return families.mac_count(self.model.config)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights in the precision in memory."""
        return self.params * int(self.model.dtype.itemsize)

    @property
    def context(self) -> int:
        """The context length in tokens."""
        return context_length(self.model)

    def answer(self, prompt: str, new: int) -> Answer:
        """Continue `prompt` greedily with at most `new` tokens, fewer than `context`.

        A prompt that leaves no room for them is truncated on the left.
        """
        room = self.context - new
        # A prompt without tokens is replaced by the beginning-of-sequence token.
        encode = Encoder(self.tokenizer)
        ids = encode(prompt) or [encode.start]
        check_ids(ids[-room:], embedding_rows(self.model), self.tokenizer, "the prompt")
        prompt_ids = torch.tensor([ids[-room:]], device=self.model.device)
        decoded = decode(
            self.model,
            prompt_ids,
            new,
            stop=text_ends(self.model, self.tokenizer),
            where=f"{self.name}, the prompt",
        )
        new_ids = decoded.tokens[0].tolist()
        text = str(self.tokenizer.decode(new_ids, skip_special_tokens=True))
        return Answer(
            text, len(new_ids), decoded.first, decoded.decode_rate, prompt_ids.shape[1], cut=len(ids) > room
        )

    def choose(self, prompt: str, choices: Sequence[str], delimiter: str, metric: Metric) -> list[float]:
        """Probabilities of `choices` after `prompt`, scored as in evaluation."""
        answers = tuple(delimiter + choice for choice in choices)
        example = Example((prompt,) * len(answers), answers, gold=0, row=0, delimiter=delimiter)
        (scored,) = score(self.model, self.tokenizer, [example], description=f"{self.name}, the question")
        return scored.probabilities(metric)


@memory_for("play", "name fewer models")
def load_players(models: Sequence[str | Path], device: str | None = None) -> list[Player]:
    """Load every model, in order. A tuned directory with only an adapter is merged with its base, which must
    be another of `models`.

    Raises CheckpointError and FamilyError for models that cannot be read, TuneError for an adapter whose base
    is not among them.
    """
    place = device_named(device)
    bases = [model for model in models if not checkpoint.is_adapter(model)]
    for model in bases:
        checkpoint.load_config(model)  # report problems before the first long load
    names = display_names(models)
    return [_load(name, model, bases, place) for name, model in zip(names, models, strict=True)]


def display_names(models: Sequence[str | Path]) -> list[str]:
    """The last part of each path if it is unique, else the full path."""
    short = [Path(model).resolve().name if Path(model).is_dir() else str(model) for model in models]
    names = [
        name if short.count(name) == 1 else str(model) for name, model in zip(short, models, strict=True)
    ]
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, start=1)]


def _load(name: str, model: str | Path, bases: Sequence[str | Path], device: str) -> Player:
    if not checkpoint.is_adapter(model):
        directory = checkpoint.resolve(model)
        loaded = checkpoint.load_model(model, device=device)
        return Player(name, loaded, checkpoint.load_tokenizer(model), _shots(directory))
    folder = checkpoint.find_adapter(model)
    base_digest = checkpoint.adapter_base(folder)
    for base in bases:
        if checkpoint.weights_digest(checkpoint.open_weights(base)) == base_digest:
            adapted = checkpoint.load_tuned(base, folder, device=device)
            merged = checkpoint.merge_adapter(adapted, adapted.dtype).eval()
            return Player(name, merged, checkpoint.load_tokenizer(base), _shots(folder.parent))
    raise TuneError(
        f"{model} is an adapter of base {base_digest[:8]}, which is not among the models; name its base too"
    )


def _shots(directory: Path) -> ShotsRecord | None:
    path = directory / ShotsRecord.file
    return checkpoint.read_record(ShotsRecord, path) if path.is_file() else None
