"""The keywords of `prune` except `out`, for its overloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.recipe import Prune
from tailored_llama.recipe.keywords import PruneKeys
from tailored_llama.stages.prune.objective import Tokens
from tailored_llama.stages.prune.plan import Plan

Model: TypeAlias = str | Path | PreTrainedModel


class Arguments(PruneKeys, total=False):
    """As in `prune`."""

    settings: Prune | None
    seed: int
    plan: Plan | str | Path | None
    tasks: Sequence[str]
    data: Mapping[str, str] | None
    tokens: Tokens | None
    tokenizer: PreTrainedTokenizerBase | None
    allow_config: Sequence[str]
    device: str | None
