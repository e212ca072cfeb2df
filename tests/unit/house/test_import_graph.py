"""The checker of the architecture test finds every cycle, in whatever form of import it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.import_graph import computed_loads, cycles, import_graph

CYCLE = [["shop.flows.run", "shop.flows.sweep"]]
BACK = {
    "lazy, inside a function": "def start():\n    from shop.flows.sweep import sweep\n    sweep()",
    "at the top": "from shop.flows.sweep import sweep",
    "the module itself": "import shop.flows.sweep as other",
    "a module out of its package": "from shop.flows import sweep",
    "relative": "from . import sweep",
    "relative, of a name": "from .sweep import sweep",
    "for the type checker only": "import typing\nif typing.TYPE_CHECKING:\n    from shop.flows import sweep",
    "a module below it, whose package is run first": "def start():\n    import shop.flows.sweep.cells",
    "by name": "from importlib import import_module\nimport_module('shop.flows.sweep')",
    "by the builtin": "other = __import__('shop.flows.sweep')",
}


def package(folder: Path, **files: str) -> Path:
    """A package `shop` of the given files; `flows__run` is flows/run.py, `flows` is flows/__init__.py."""
    root = folder / "shop"
    for name, text in {"": "", **files}.items():
        parts = [part for part in name.split("__") if part]
        is_package = not parts or any(other.startswith(f"{name}__") for other in files)
        path = (
            root.joinpath(*parts, "__init__.py") if is_package else root.joinpath(*parts).with_suffix(".py")
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def sweeps(run: str, sweep: str = "from shop.flows.run import check") -> dict[str, str]:
    """A run that imports by `run`, and the package of a sweep that uses it."""
    return {
        "flows": "", "flows__run": f"{run}\ndef check(): ...\n", "flows__sweep__cells": "",
        "flows__sweep": f"{sweep}\ndef sweep(): ...\n",
    }  # fmt: skip


@pytest.mark.parametrize("how", BACK)
def test_run_and_sweep_that_import_each_other_are_a_cycle(tmp_path: Path, how: str) -> None:
    assert cycles(import_graph(package(tmp_path, **sweeps(BACK[how])))) == CYCLE


def test_without_the_way_back_there_is_none(tmp_path: Path) -> None:
    root = package(
        tmp_path, **sweeps("import os\nfrom importlib import import_module\nimport_module('json')")
    )
    graph = import_graph(root)
    assert cycles(graph) == []
    assert graph["shop.flows.sweep"] == {"shop.flows.run"}


def test_a_package_may_re_export_its_modules_and_they_import_each_other(tmp_path: Path) -> None:
    graph = import_graph(
        package(
            tmp_path, room="from shop.room.a import A", room__a="from shop.room.b import B",
            room__b="import shop.room.c", room__c="", user="from shop.room import A",
        )
    )  # fmt: skip
    assert cycles(graph) == []
    assert graph["shop.user"] == {"shop.room"}


def test_a_module_that_imports_what_its_package_re_exports_is_in_a_cycle(tmp_path: Path) -> None:
    graph = import_graph(
        package(tmp_path, room="from shop.room.a import A", room__a="from shop.room import B", room__b="")
    )
    assert cycles(graph) == [["shop.room", "shop.room.a"]]


def test_a_cycle_through_what_another_package_runs_first_is_found(tmp_path: Path) -> None:
    graph = import_graph(
        package(
            tmp_path, one="from shop.one.top import x", one__top="from shop.other import y",
            one__leaf="", other="import shop.one.leaf",
        )
    )  # fmt: skip
    assert cycles(graph) == [["shop.one", "shop.one.top", "shop.other"]]


def test_a_cycle_of_three_is_one_cycle(tmp_path: Path) -> None:
    graph = import_graph(
        package(tmp_path, a="import shop.b", b="import shop.c", c="import shop.a", d="import shop.a")
    )
    assert cycles(graph) == [["shop.a", "shop.b", "shop.c"]]


def test_names_that_are_computed_are_listed(tmp_path: Path) -> None:
    root = package(
        tmp_path, a="import importlib\nimportlib.import_module(f'{__name__}.x')", b="__import__('shop.a')"
    )
    assert computed_loads(root) == {"shop.a"}
