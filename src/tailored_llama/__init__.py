"""Tailor a LLaMA-family model to a task: prune, tune on a few examples, evaluate, export.

    from tailored_llama import prune, tune, evaluate, export, run

Paths or models in memory go in, the same come out. Importing this is light: torch comes with the first use.
Once imported, `AutoModelForCausalLM.from_pretrained` of this process loads shaped checkpoints.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailored_llama.evaluate import evaluate
    from tailored_llama.export import export
    from tailored_llama.pipeline import run
    from tailored_llama.prune import prune
    from tailored_llama.tune import heal, tune

    __version__: str

__all__ = ["__version__", "evaluate", "export", "heal", "prune", "run", "tune"]

_HOMES = {
    "prune": "prune", "heal": "tune", "tune": "tune", "evaluate": "evaluate", "export": "export",
    "run": "pipeline",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("tailored-llama")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Keeps `tailored_llama.prune` the function, though a sub-package has the same name.

    Importing that sub-package, from anywhere and at any time, would put it in the function's place.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


class _AfterTransformers(MetaPathFinder):
    """Registers the shaped classes as soon as transformers has been imported.

    The Auto classes can be told of ours only when they exist, and importing transformers here would cost
    every `tailor --help` a second or more. So this stands in line with the finders of modules, lets the
    others find transformers, and has the registration run right after it.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "transformers":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                sys.meta_path.remove(self)
                _register()

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def _register() -> None:
    import_module(f"{__name__}.shaped")  # which does the rest


sys.modules[__name__].__class__ = _Package
if "transformers" in sys.modules:
    _register()
else:
    sys.meta_path.insert(0, _AfterTransformers())
