"""The house rules that a program can check: one direction of dependencies, small files, fresh documents."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tailored_llama.cli.help import page
from tests.support import ROOT

PACKAGE = ROOT / "src" / "tailored_llama"

# Lower floors first. A module may import from floors below its own, and from its own room.
FLOORS = [
    {"errors", "names", "plugins", "progress", "machine", "strict_json", "memory"},
    {"recipe", "results"},
    {"world"},
    {"shaped", "families", "data"},
    {"checkpoint"},
    {"stage"},
    {"scoring", "integrations"},
    {"training", "reporting"},
    {"stages"},
    {"workflows", "profiling"},
    {"play"},
    {"cli"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "tailored_llama":
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tailored_llama."):
            rooms.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            rooms |= {a.name.split(".")[1] for a in node.names if a.name.startswith("tailored_llama.")}
    return rooms & FLOOR.keys()


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_dependencies_point_one_way(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    assert room in FLOOR, f"{room} stands on no floor: add it to FLOORS"
    others = imported_rooms(path) - {room}
    above = {other for other in others if FLOOR[other] > FLOOR[room]}
    assert not above, f"{room} must not import {above}: they stand above it"


def test_stages_never_import_each_other() -> None:
    for path in (PACKAGE / "stages").rglob("*.py"):
        stage = path.relative_to(PACKAGE / "stages").parts[0]
        imported = set(re.findall(r"tailored_llama\.stages\.(\w+)", path.read_text()))
        assert imported <= {stage}, f"{path} imports the stages {imported - {stage}}"


@pytest.mark.parametrize("path", SOURCES + sorted((ROOT / "tests").rglob("*.py")), ids=lambda p: p.name)
def test_a_file_is_a_page_or_two(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def test_no_pickles_anywhere() -> None:
    pattern = re.compile(r"\b(import pickle|torch\.save\(|torch\.load\(|pickle\.loads?\()")
    assert not [path.name for path in SOURCES if pattern.search(path.read_text())]


def test_json_is_written_in_one_place() -> None:
    pattern = re.compile(r"\bjson\.dumps?\(")
    assert [path.name for path in SOURCES if pattern.search(path.read_text())] == ["strict_json.py"]


def test_the_command_line_page_is_fresh() -> None:
    assert (ROOT / "docs" / "reference" / "cli.md").read_text() == page(), "stale: make docs"


def test_light_modules_do_not_import_torch() -> None:
    code = "import sys, tailored_llama.recipe, tailored_llama.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_does_not_wait_for_the_heavy_libraries() -> None:
    # Not a benchmark: torch and transformers alone take several times this.
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "tailored_llama.cli", "--help"], check=True, capture_output=True)
    assert time.perf_counter() - start < 3
