"""Frozen JSON objects with typed keys, and their validation."""

from __future__ import annotations

from collections.abc import KeysView, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from tailored_llama.errors import CheckpointError, OutputError
from tailored_llama.strict_json import Json, to_json

R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """A frozen JSON object whose keys are attributes, and can be read as keys too."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    file: ClassVar[str] = "file"
    """What the file is called that holds one, for messages."""

    def __getitem__(self, key: str) -> Any:
        if key not in type(self).model_fields:
            raise KeyError(key)
        return getattr(self, key)

    def keys(self) -> KeysView[str]:
        """The keys that have been set, so that `{**row}` is the row as a dictionary."""
        return dict.fromkeys(key for key in type(self).model_fields if key in self.model_fields_set).keys()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`; `default` where there is no such key or it has no value."""
        value = self[key] if key in type(self).model_fields else None
        return default if value is None else value

    def to_json(self) -> dict[str, JsonValue]:
        """The object as JSON, without keys that were not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class SideFile(Record):
    """A file beside a checkpoint or an adapter. Keys of another version of this package are kept."""

    model_config = ConfigDict(extra="allow")


def parse(kind: type[R], path: str | Path, content: Mapping[str, Json]) -> R:
    """The `content` of the file at `path` as `kind`. Raises CheckpointError naming a wrong key."""
    try:
        return kind.model_validate_json(to_json(dict(content)), strict=True)
    except OutputError as error:  # NaN or an infinity
        raise CheckpointError(f"{path}: {error}") from None
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        raise CheckpointError(
            f"{path}: {key}: {problem['msg']}; name a {kind.file} that this package wrote"
        ) from None
