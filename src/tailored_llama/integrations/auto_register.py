"""Registers the shaped classes with transformers' Auto classes, without importing transformers.

Registration needs the Auto classes, but importing transformers at `import tailored_llama` would add a second
or more to every `tailor --help`. `install` therefore adds a finder to `sys.meta_path` that lets the other
finders locate transformers and runs the registration right after its import. Then the finder removes itself.
"""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False  # importing typing, or importlib.abc, takes longer than all of this module
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def install() -> None:
    """Register the shaped classes now if transformers is imported already, else as soon as it is."""
    if "transformers" in sys.modules:
        _register()
    elif not any(isinstance(finder, _AfterTransformers) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterTransformers())


def _register() -> None:
    import_module("tailored_llama.shaped")  # registers its classes when it is imported


class _AfterTransformers:
    """Finds transformers through the other finders, and runs the registration after its import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "transformers":
            return None
        other_finders = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in other_finders)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                sys.meta_path.remove(self)
                _register()

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec
