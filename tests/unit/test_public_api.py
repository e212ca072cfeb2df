"""The names that the package promises, and that importing it costs nothing until they are used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import metadata

import pytest
from pydantic import BaseModel

import tailored_llama

FUNCTIONS = [
    "evaluate", "export", "heal", "import_gguf", "matrix", "measure", "plan", "prune", "report", "run",
    "tune", "use_plugins",
]  # fmt: skip
SETTINGS = [
    "Calibration", "Distill", "EarlyStop", "Evaluate", "Export", "Heal", "HealLora", "HealText", "Lora",
    "Measure", "Prune", "Recipe", "Replay", "Tune",
]  # fmt: skip


def test_the_public_names() -> None:
    assert tailored_llama.__all__ == sorted(["Plan", "__version__", *FUNCTIONS, *SETTINGS])
    assert dir(tailored_llama) == tailored_llama.__all__
    assert tailored_llama.__version__ == metadata.version("tailored-llama")
    with pytest.raises(AttributeError, match="trim"):
        _ = tailored_llama.trim


def test_each_name_is_what_it_promises() -> None:
    for name in FUNCTIONS:
        function = getattr(tailored_llama, name)
        assert inspect.isfunction(function), name
        assert function.__name__ == {"plan": "make_plan"}.get(name, name)
        assert inspect.getdoc(function), name
    for name in SETTINGS:
        assert issubclass(getattr(tailored_llama, name), BaseModel), name


def test_a_stage_is_a_module_below() -> None:
    import tailored_llama.stages.export.card

    assert inspect.ismodule(tailored_llama.stages.export)
    assert inspect.isfunction(getattr(tailored_llama, "export"))  # noqa: B009 - the name beside the module


def test_importing_is_light() -> None:
    code = (
        "import sys, tailored_llama, tailored_llama.recipe, importlib.util\n"
        "importlib.util.find_spec('transformers')\n"
        "print([m for m in ('torch', 'transformers', 'peft', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
