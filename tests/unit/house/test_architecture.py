"""The house rules that a program can check: one direction of dependencies, small files, fresh documents."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache

from tailored_llama.cli.help import page
from tests.support import ROOT
from tests.support.import_graph import Graph, computed_loads, cycles, import_graph

PACKAGE = ROOT / "src" / "tailored_llama"

# Lower floors first. A module may import from floors below its own, and from its own room.
FLOORS = [
    {"errors", "progress"},
    {"names", "memory", "machine", "strict_json"},
    {"plugins"},
    {"recipe", "results"},
    {"world"},
    {"shaped"},
    {"families", "data"},
    {"checkpoint"},
    {"stage"},
    {"scoring"},
    {"integrations"},
    {"training", "reporting"},
    {"stages"},
    {"workflows", "profiling"},
    {"play"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SOURCES = sorted(PACKAGE.rglob("*.py"))


@cache
def graph() -> Graph:
    return import_graph(PACKAGE)


COMPUTED = {"tailored_llama", "tailored_llama.plugins"}
"""Modules that load others by computed names: the lazy public names, which are also imported under
`TYPE_CHECKING` there; and plug-ins, which are files found in a folder, known to nobody by name."""


def room_of(module: str) -> str:
    return module.split(".")[1]


def test_every_module_stands_on_a_floor() -> None:
    rooms = {room_of(module) for module in graph() if module != "tailored_llama"}
    assert rooms <= FLOOR.keys(), "add it to FLOORS"
    assert FLOOR.keys() <= rooms, "FLOORS names what is not there"


def test_dependencies_point_one_way() -> None:
    """A module imports from floors below its own, and from its own room. The package itself, whose lazy names
    lead everywhere, is imported by nobody.
    """
    wrong = [
        f"{module} imports {target}"
        for module, targets in graph().items() if module != "tailored_llama"
        for target in targets
        if target == "tailored_llama"
        or (room_of(target) != room_of(module) and FLOOR[room_of(target)] >= FLOOR[room_of(module)])
    ]  # fmt: skip
    assert wrong == []


def test_no_modules_import_each_other_in_a_cycle() -> None:
    assert cycles(graph()) == []


def test_cycles_cannot_hide_in_computed_names() -> None:
    assert computed_loads(PACKAGE) <= COMPUTED, "name the modules in import statements"


def test_stages_never_import_each_other() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, targets in graph().items() if module.startswith("tailored_llama.stages.")
        for target in targets
        if target.startswith("tailored_llama.stages.") and target.split(".")[2] != module.split(".")[2]
    ]  # fmt: skip
    assert wrong == []


def test_a_file_is_a_page_or_two() -> None:
    files = [*SOURCES, *(ROOT / "tests").rglob("*.py")]
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: count for name, count in lines.items() if count > 300} == {}


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
    before = os.times()
    subprocess.run([sys.executable, "-m", "tailored_llama", "--help"], check=True, capture_output=True)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    assert seconds < 3, "seconds of the processor, whatever else the machine does"


TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if path.name.startswith(("test_", "conftest")))


def test_no_test_module_imports_another() -> None:
    pattern = re.compile(r"^\s*(?:from|import) (?:tests\.(?!support)|test_)\S*", re.MULTILINE)
    found = {str(path): match for path in TESTS if (match := pattern.search(path.read_text()))}
    assert not found, "what two test modules need goes to tests/support"


def test_models_are_built_in_one_place() -> None:
    pattern = re.compile(r"\bLlamaForCausalLM\(|\b(?!GPT2)\w+ForCausalLM\(|\.from_config\(")
    others = {"test_train.py", "test_shaped_heads.py"}  # the world's own builder; heads other than language
    found = [str(path) for path in TESTS if pattern.search(path.read_text()) and path.name not in others]
    assert not found, "build pico models with tests/support/pico.py"
