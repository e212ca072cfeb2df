"""Unknown config attributes that `--allow-config` accepted.

During a call they are accepted in every config that is read. The accepted names are stored under ALLOWED_KEY,
in the config in memory and in every config.json written from it, so that later calls accept them too.
transformers ignores the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from transformers import PreTrainedConfig, PreTrainedModel

from tailored_llama.checkpoint.contents import CONFIG_FILE
from tailored_llama.checkpoint.files import read_json
from tailored_llama.errors import CheckpointError
from tailored_llama.strict_json import Json

ALLOWED_KEY = "tailor_allow_config"
"""In config.json: the names of unknown attributes that were accepted."""

P = ParamSpec("P")
T = TypeVar("T")
_accepted: ContextVar[frozenset[str]] = ContextVar("accepted", default=frozenset())


@contextmanager
def accepting(names: Iterable[str]) -> Iterator[None]:
    """Accept the unknown attributes `names` in every config that is read inside the block."""
    token = _accepted.set(_accepted.get() | set(names))
    try:
        yield
    finally:
        _accepted.reset(token)


def takes_allow_config(function: Callable[P, T]) -> Callable[P, T]:
    """Add the keyword `allow_config` to `function`: attribute names to accept in every config that
    it reads.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        names: Any = kwargs.get("allow_config") or ()
        with accepting([names] if isinstance(names, str) else names):
            return function(*args, **kwargs)

    return call


def accepted_now() -> frozenset[str]:
    """The names that are currently accepted."""
    return _accepted.get()


def remembered_by(model: str | Path | PreTrainedModel) -> list[str]:
    """The accepted names stored in a checkpoint directory or a model in memory; empty without a config."""
    if isinstance(model, PreTrainedModel):
        return remembered(model.config)
    path = Path(model) / CONFIG_FILE
    return remembered(read_json(path), str(path)) if path.is_file() else []


def remembered(content: Mapping[str, Json] | PreTrainedConfig, where: str = "config.json") -> list[str]:
    """The accepted names stored in a config or the content of a config.json. CheckpointError if malformed."""
    names: Any = (
        content.get(ALLOWED_KEY) if isinstance(content, Mapping) else getattr(content, ALLOWED_KEY, None)
    )
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{where}: {ALLOWED_KEY} must list names of attributes; correct or remove it")
    return names
