"""The names that the package promises, and that importing it costs nothing until they are used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import metadata

import tailored_llama


def test_the_public_names() -> None:
    assert tailored_llama.__all__ == ["__version__", "evaluate", "export", "heal", "prune", "run", "tune"]
    assert tailored_llama.__version__ == metadata.version("tailored-llama")


def test_stages_are_functions_at_the_top_and_modules_below() -> None:
    import tailored_llama.stages.export.card

    for name in ("prune", "heal", "tune", "evaluate", "export", "run"):
        function = getattr(tailored_llama, name)
        assert inspect.isfunction(function), name
        assert function.__name__ == name
    assert inspect.ismodule(tailored_llama.stages.export)


def test_importing_is_light() -> None:
    code = (
        "import sys, tailored_llama, tailored_llama.recipe, importlib.util\n"
        "importlib.util.find_spec('transformers')\n"
        "print([m for m in ('torch', 'transformers', 'peft', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
