"""Tailor a LLaMA-family model to a task: prune, tune on a few examples, evaluate, export.

    from tailored_llama import prune, tune, evaluate, export, run

Paths or models in memory go in, the same come out. Importing this is light: torch comes with the first use.
Once imported, `AutoModelForCausalLM.from_pretrained` of this process loads shaped checkpoints.
"""

from __future__ import annotations

from importlib import import_module

from tailored_llama.integrations import auto_register

# The typing module's import takes longer than all of this one's, and until the command line is reached
# Ctrl-C prints a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tailored_llama.stages.evaluate import evaluate
    from tailored_llama.stages.export import export
    from tailored_llama.stages.heal import heal
    from tailored_llama.stages.prune import prune
    from tailored_llama.stages.tune import tune
    from tailored_llama.workflows.run import run

    __version__: str

__all__ = ["__version__", "evaluate", "export", "heal", "prune", "run", "tune"]

_HOMES = {
    "prune": "stages.prune", "heal": "stages.heal", "tune": "stages.tune", "evaluate": "stages.evaluate",
    "export": "stages.export", "run": "workflows.run",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("tailored-llama")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


auto_register.install()
