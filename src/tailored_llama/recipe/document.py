"""YAML documents of users, read by the 1.2 core schema. Every problem becomes a one-line error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.scanner import Scanner

from tailored_llama.errors import SHOWN, RecipeError, shown
from tailored_llama.recipe.text import decode

MOST_BYTES, MOST_VALUES = 65_536, 5_000
"""Maximum size of a document: about a second of parsing."""
DEEPEST = 20
"""Maximum nesting of lists and mappings."""
MOST_CHARACTERS = 1_000_000
"""Maximum size of a document with expanded aliases."""
CORE = {"null", "bool", "int", "float", "str", "seq", "map", "merge"}
TAG = "tag:yaml.org,2002:"
AS_TEXT = {"timestamp", "value"}
"""Tags that the parser resolves, but that are plain text in the core schema."""


def read_yaml(path: Path) -> Any:
    """The document in `path`. Raises RecipeError with file, line and column if it is not valid."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); name a YAML file") from None
    if len(content) > MOST_BYTES:
        raise RecipeError(f"{path}: is larger than {MOST_BYTES} bytes; a recipe or task file is a short text")
    try:
        text = decode(content)
    except ValueError as error:
        raise RecipeError(f"{path}: not UTF-8 text: {error}; name a YAML file") from None
    try:
        return _parse(text)
    except _BadError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from None


def parse_value(text: str) -> Any:
    """One YAML value, as in `--set KEY=VALUE`; RecipeError if it is invalid."""
    try:
        if len(text) > MOST_BYTES:
            raise _BadError(f"longer than {MOST_BYTES} characters")
        return _parse(text)
    except _BadError as error:
        raise RecipeError(
            f"{shown(text, 80)} is not a YAML value ({error}); quote it or correct its brackets"
        ) from None


class _BadError(Exception):
    """A short description of the problem with a document."""


def _parse(text: str) -> Any:
    if re.search(r"^%YAML\s+(?!1\.2\s*$)", text, re.MULTILINE):
        raise _BadError("the YAML version is not 1.2; remove the %YAML line")
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner, yaml.Composer = _Scanner, _Composer
    try:
        root = yaml.compose(text)
        if root is None:
            return None
        _Checked().size_of(root)
        return yaml.constructor.construct_document(root)
    except _BadError:
        raise
    except RecursionError:
        raise _BadError(f"nested more than {DEEPEST} deep") from None
    except MarkedYAMLError as error:
        raise _BadError(_at(error.problem_mark, str(error.problem or error.context))) from None
    except YAMLError as error:
        raise _BadError(_at(None, str(error))) from None
    except Exception as error:  # `!!int abc`, integers of thousands of digits
        raise _BadError(f"a value that cannot be read ({_at(None, str(error))})") from None


class _Scanner(Scanner):
    """Stops at brackets that are nested too deeply; the base class would scan all of them first."""

    def fetch_flow_collection_start(self, *given: Any, **named: Any) -> None:
        if len(self.flow_context) >= DEEPEST:
            raise _BadError(_at(self.reader.get_mark(), f"nested more than {DEEPEST} deep"))
        super().fetch_flow_collection_start(*given, **named)


class _Composer(Composer):
    """Stops when there are more values than allowed."""

    count = 0

    def compose_node(self, *given: Any, **named: Any) -> Any:
        self.count += 1
        if self.count > MOST_VALUES:
            raise _BadError(f"more than {MOST_VALUES:,} keys and values")
        return super().compose_node(*given, **named)


class _Checked:
    """Visits each node of a document once, before values are constructed."""

    def __init__(self) -> None:
        self._sizes: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()

    def size_of(self, node: Node) -> tuple[int, int]:
        """(characters, levels) of `node` with expanded aliases.

        Raises _BadError beyond the limits, and for a tag or key that is not in the core schema.
        """
        if id(node) in self._open:
            raise _BadError(_at(node.start_mark, "an alias that contains itself"))
        if id(node) not in self._sizes:
            self._open.add(id(node))
            self._sizes[id(node)] = self._measured(node)
            self._open.remove(id(node))
        return self._sizes[id(node)]

    def _measured(self, node: Node) -> tuple[int, int]:
        self._check_tag(node)
        if isinstance(node, ScalarNode):
            return 1 + len(node.value), 0
        if isinstance(node, MappingNode):
            for key, _ in node.value:
                self._check_key(key)
            parts = [self.size_of(part) for pair in node.value for part in pair]
        else:
            parts = [self.size_of(part) for part in node.value]
        size = 1 + sum(part for part, _ in parts)
        levels = 1 + max((levels for _, levels in parts), default=0)
        if size > MOST_CHARACTERS:
            raise _BadError(
                _at(node.start_mark, f"its aliases expand to over {MOST_CHARACTERS:,} characters")
            )
        if levels > DEEPEST:
            raise _BadError(_at(node.start_mark, f"nested more than {DEEPEST} deep"))
        return size, levels

    @staticmethod
    def _check_tag(node: Node) -> None:
        kind = str(node.tag).removeprefix(TAG)
        if kind in AS_TEXT:
            node.tag = f"{TAG}str"
        elif kind not in CORE:
            raise _BadError(_at(node.start_mark, f"an unknown tag, {shown(str(node.tag), 40)}"))

    def _check_key(self, key: Node) -> None:
        kind = str(key.tag).removeprefix(TAG)
        if not isinstance(key, ScalarNode) or kind not in {"str", "merge", *AS_TEXT}:
            named = shown(key.value, 40) if isinstance(key, ScalarNode) else "a list or mapping"
            raise _BadError(_at(key.start_mark, f"a key must be text, and {named} is not; quote it"))


def _at(mark: Any, problem: str) -> str:
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    text = " ".join(problem.split())
    return place + (text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
