"""Tailor a LLaMA-family model to a task: prune, heal, tune on a few examples, evaluate, export.

    import tailored_llama as tailor

    small = tailor.prune("world", ratio=0.3, out="small")
    tuned = tailor.tune(small, task="world_boolq", shots=50, out="tuned")
    row = tailor.evaluate(tuned, tasks=["world_boolq"])

The model comes first: a directory, a hub id, `world`, or a model in memory. `settings=` takes a section of a
recipe (`Prune`, `Heal`, `Tune`, `Evaluate`, `Export`) or `Measure`, and its fields are keywords as well. With
`out=` a file or directory is written. docs/reference/python.md lists all functions.

The import is fast: torch is imported on the first use of a function. After the import,
`AutoModelForCausalLM.from_pretrained` can load shaped checkpoints.
"""

from __future__ import annotations

from importlib import import_module

from tailored_llama.integrations import auto_register

# The typing module's import takes longer than all of this one's, and until the command line is reached
# Ctrl-C prints a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tailored_llama.plugins import use_plugins
    from tailored_llama.profiling import measure
    from tailored_llama.recipe import (
        Calibration,
        Distill,
        EarlyStop,
        Evaluate,
        Export,
        Heal,
        HealLora,
        HealText,
        Lora,
        Measure,
        Prune,
        Recipe,
        Replay,
        Tune,
    )
    from tailored_llama.reporting import report
    from tailored_llama.stages.evaluate import evaluate
    from tailored_llama.stages.export import export
    from tailored_llama.stages.heal import heal
    from tailored_llama.stages.import_gguf import import_gguf
    from tailored_llama.stages.prune import Plan, prune
    from tailored_llama.stages.prune import make_plan as plan
    from tailored_llama.stages.tune import tune
    from tailored_llama.workflows.cross_task import matrix
    from tailored_llama.workflows.run import run

    __version__: str

__all__ = [
    "Calibration",
    "Distill",
    "EarlyStop",
    "Evaluate",
    "Export",
    "Heal",
    "HealLora",
    "HealText",
    "Lora",
    "Measure",
    "Plan",
    "Prune",
    "Recipe",
    "Replay",
    "Tune",
    "__version__",
    "evaluate",
    "export",
    "heal",
    "import_gguf",
    "matrix",
    "measure",
    "plan",
    "prune",
    "report",
    "run",
    "tune",
    "use_plugins",
]

# Public names by the module that has them. None is also the name of a module of this package, which would
# hide it once imported.
_HOMES = {
    "stages.prune": ("prune", "Plan"), "stages.heal": ("heal",), "stages.tune": ("tune",),
    "stages.evaluate": ("evaluate",), "stages.export": ("export",), "stages.import_gguf": ("import_gguf",),
    "workflows.run": ("run",), "workflows.cross_task": ("matrix",), "reporting": ("report",),
    "profiling": ("measure",), "plugins": ("use_plugins",),
    "recipe": (
        "Calibration", "Distill", "EarlyStop", "Evaluate", "Export", "Heal", "HealLora", "HealText", "Lora",
        "Measure", "Prune", "Recipe", "Replay", "Tune",
    ),
}  # fmt: skip
_HOME_OF = {name: (module, name) for module, names in _HOMES.items() for name in names}
_HOME_OF["plan"] = ("stages.prune", "make_plan")  # `stages.prune.plan` is a module


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("tailored-llama")
    if name in _HOME_OF:
        module, attribute = _HOME_OF[name]
        return getattr(import_module(f"{__name__}.{module}"), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


auto_register.install()
