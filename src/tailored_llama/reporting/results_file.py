"""A results.json from the disk, checked: a page or a card is made only from rows that are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tailored_llama import checkpoint
from tailored_llama.errors import CheckpointError


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Figures(_Part):
    main: float
    chance: float | None
    stderr: float | None = None
    metric: str | None = None
    samples: list[dict[str, Any]] | None = None


class _Corpus(_Part):
    perplexity: float
    length: int


class _Row(_Part):
    stage: str
    task_tuned: str | None
    prompt: str
    params: float
    macs: float
    peak_memory: float
    tasks: dict[str, _Figures]
    mean: float | None
    chance: float | None
    recovery: float | None = None
    recovery_above_chance: float | None = None
    perplexity: dict[str, _Corpus] | None = None


class _File(_Part):
    rows: list[_Row] = Field(min_length=1)
    recipe: dict[str, Any]
    versions: dict[str, Any] = {}


def read_results(path: str | Path) -> dict[str, Any]:
    """The content of the results.json at `path`; CheckpointError with the key where it is not one."""
    content = checkpoint.read_json(path)
    try:
        _File.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        raise CheckpointError(
            f"{path}: {key}: {problem['msg']}; name a results.json as run or evaluate wrote it"
        ) from None
    return content
