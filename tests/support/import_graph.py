"""Which module of a package imports which, read from the source, and the cycles among them.

Every import statement counts: at the top, inside a function, under `TYPE_CHECKING` (what only the type
checker follows is still a dependency). So do literal names in calls of `import_module` and `__import__`;
calls with other names are listed by `computed_loads`.

`from package import name` is an import of the module `package.name` where there is one, else of the package
itself: what its `__init__` re-exports is reached through the edges of that `__init__`. Importing `a.b.c` runs
`a` and `a.b` first, so it is an import of these too, but for the packages that the importing module is in,
which have always begun before it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

Graph = dict[str, set[str]]
"""The modules that each module imports, by dotted names."""
LOADERS = {"import_module", "__import__"}


def import_graph(package: Path) -> Graph:
    """The imports among the modules of the package directory `package`."""
    paths = {_name(path, package): path for path in sorted(package.rglob("*.py"))}
    graph = {}
    for module, path in paths.items():
        names = _imported(module, path, paths.keys())
        targets = {target for name in names for target in _with_parents(name, module)}
        graph[module] = (targets & paths.keys()) - {module}
    return graph


def computed_loads(package: Path) -> set[str]:
    """Modules that call `import_module` or `__import__` with a name that is not a literal."""
    return {
        _name(path, package)
        for path in package.rglob("*.py")
        for call in _loads(ast.parse(path.read_text(encoding="utf-8")))
        if _literal(call) is None
    }


def cycles(graph: Graph) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan 1972), each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in sorted(graph[module]):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            start = stack.index(module)
            if len(stack) - start > 1:
                found.append(sorted(stack[start:]))
            del stack[start:]

    for module in graph:
        if module not in index:
            visit(module)
    return sorted(found)


def _name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _with_parents(name: str, importer: str) -> set[str]:
    """`name` and the packages that it is in, without those that `importer` is in."""
    parts = name.split(".")
    every = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return {known for known in every if known == name or not f"{importer}.".startswith(f"{known}.")}


def _imported(module: str, path: Path, modules: Iterable[str]) -> set[str]:
    """Dotted names that the file imports; of `from a import b` the module `a.b`, or else `a`."""
    known, names = set(modules), set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, module, path)
            inner = {f"{base}.{alias.name}" for alias in node.names}
            names |= {name if name in known else base for name in inner}
    return names | {name for call in _loads(tree) if (name := _literal(call)) is not None}


def _base(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The absolute name of the module after `from`."""
    if not node.level:
        return node.module or ""
    parts = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _loads(tree: ast.AST) -> list[ast.Call]:
    """The calls that import a module by its name."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = [getattr(call.func, "attr", getattr(call.func, "id", "")) for call in calls]
    return [call for call, name in zip(calls, called, strict=True) if name in LOADERS]


def _literal(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
