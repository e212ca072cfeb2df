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


def test_the_stages_are_functions_though_their_rooms_have_the_same_names() -> None:
    import tailored_llama.export.card  # which puts the sub-package where the function is

    for name in ("prune", "tune", "evaluate", "export", "run"):
        function = getattr(tailored_llama, name)
        assert inspect.isfunction(function), name
        assert function.__name__ == name
    from tailored_llama import export

    assert inspect.isfunction(export)


def test_importing_is_light() -> None:
    code = (
        "import sys, tailored_llama, tailored_llama.recipe, importlib.util\n"
        "importlib.util.find_spec('transformers')\n"
        "print([m for m in ('torch', 'transformers', 'peft', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
