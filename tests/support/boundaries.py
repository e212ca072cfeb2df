"""Signatures that subpackages show to each other, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LOOSE = {"Any", "object"}
MAPPINGS = {"dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict"}
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
Place = tuple[str, str]
"""Module and name of a definition."""


@dataclass
class Module:
    """What a module defines at its top, and the names it imports from the package."""

    tree: ast.Module
    defined: dict[str, Definition] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)


def loose_boundaries(package: Path) -> list[str]:
    """`module.name: annotation` for each function, class or alias that a module of another subpackage uses
    and in whose signature or fields a mapping to Any or object stands.
    """
    modules = {name: _module(tree) for name, tree in _trees(package)}
    found = set()
    for user, module in modules.items():
        for name in module.imported:
            for home, own in _used(modules, user, name):
                if _room(home) != _room(user):
                    definition = modules[home].defined[own]
                    found |= {f"{home}.{own}: {text}" for text in _signature(modules, home, definition)}
    return sorted(found)


def _trees(package: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(path.read_text())


def _room(module: str) -> str:
    return f"{module}.".split(".")[1]


def _module(tree: ast.Module) -> Module:
    made = Module(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tailored_llama"):
            for alias in node.names:
                made.imported[alias.asname or alias.name] = (str(node.module), alias.name)
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            made.defined[statement.name] = statement
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            made.defined[statement.targets[0].id] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            made.defined[statement.target.id] = statement
    return made


def _used(modules: dict[str, Module], user: str, name: str) -> Iterator[Place]:
    """The definitions behind an imported name; of a module those that are reached as its attributes."""
    source, original = modules[user].imported[name]
    inner = f"{source}.{original}"
    if inner in modules:
        for node in ast.walk(modules[user].tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name:
                yield from _home(modules, inner, node.attr)
    else:
        yield from _home(modules, source, original)


def _home(modules: dict[str, Module], module: str, name: str) -> list[Place]:
    """Where `name` of `module` is defined, through re-exports."""
    for _ in range(len(modules)):
        if module not in modules:
            return []
        if name in modules[module].defined:
            return [(module, name)]
        if name not in modules[module].imported:
            return []
        module, name = modules[module].imported[name]
    return []


def _signature(modules: dict[str, Module], home: str, node: Definition) -> Iterator[str]:
    """The loose mappings in what `node` shows: parameters and result, fields and public methods, an alias."""
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and (part.name == "__init__" or part.name[0] != "_"):
                yield from _signature(modules, home, part)
            elif isinstance(part, ast.AnnAssign):
                yield from _loose(modules, home, part.annotation)
        for base in node.bases:
            yield from _loose(modules, home, base)
    elif isinstance(node, ast.FunctionDef):
        given = node.args
        for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
            if argument is not None and argument.annotation is not None:
                yield from _loose(modules, home, argument.annotation)
        if node.returns is not None:
            yield from _loose(modules, home, node.returns)
    elif isinstance(node, ast.AnnAssign):
        yield from _loose(modules, home, node.annotation)
        if node.value is not None:
            yield from _loose(modules, home, node.value)
    else:
        yield from _loose(modules, home, node.value)


def _loose(
    modules: dict[str, Module], home: str, annotation: ast.expr, seen: frozenset[Place] = frozenset()
) -> Iterator[str]:
    """The mappings to Any or object in an annotation, also behind aliases."""
    for node in ast.walk(annotation):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in MAPPINGS:
            values = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
            if ast.unparse(values) in LOOSE:
                yield ast.unparse(node)
        elif isinstance(node, ast.Name):
            for place in _home(modules, home, node.id):
                definition = modules[place[0]].defined[place[1]]
                alias = definition.value if isinstance(definition, ast.Assign | ast.AnnAssign) else None
                if alias is not None and place not in seen:
                    yield from _loose(modules, place[0], alias, seen | {place})
