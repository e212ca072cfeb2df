"""Criteria, losses, export formats and families: one file each, known by the name of the file.

Those of this package are in the folders of KINDS. Further ones are in plugin folders, which the environment
variable TAILORED_LLAMA_PLUGINS, `tailor --plugins DIR` or `use_plugins` name:

    DIR/criteria/NAME.py   DIR/losses/NAME.py   DIR/formats/NAME.py   DIR/families/NAME.py

Such a file is Python code that runs with the rights of the user. A recipe therefore cannot name a folder.
Names are read from the folders; a file is executed when its name is used first. It defines one object that is
called like the file. A plugin is one file: it imports what is installed, but not its neighbours, so that the
digest of the file, which is part of a stage's fingerprint, covers all of it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from tailored_llama.errors import PluginError, shown
from tailored_llama.names import suggest

VARIABLE = "TAILORED_LLAMA_PLUGINS"
NAME = re.compile(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*")
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """Something of which each one is a file: in `package` of this package, in `folder` of a plugin folder."""

    folder: str
    package: str
    noun: str
    taken: tuple[str, ...] = ()
    """Names that have another meaning where one of this kind is named."""


CRITERIA = Kind("criteria", "stages.prune.criteria", "criterion")
LOSSES = Kind("losses", "training.losses", "loss", ("replay",))
FORMATS = Kind("formats", "stages.export.formats", "export format")
FAMILIES = Kind("families", "families.tables", "family")
KINDS = (CRITERIA, LOSSES, FORMATS, FAMILIES)


@cache
def bundled(kind: Kind) -> tuple[str, ...]:
    """The names of this package's own, ascending. Imports nothing."""
    return tuple(sorted(path.stem for path in _place(kind).glob("*.py") if not path.stem.startswith("_")))


def listed(kind: Kind) -> str:
    """This package's own as they stand in descriptions: `a`, `b`."""
    return ", ".join(f"`{name}`" for name in bundled(kind))


def names(kind: Kind) -> list[str]:
    """All names of a kind, ascending: this package's own and those of the plugin folders. Executes nothing.

    Raises PluginError for a plugin folder, or the name of a file in it, that cannot be used.
    """
    return sorted({*bundled(kind), *_files(kind, plugin_folders())})


def plugin_file(kind: Kind, name: str) -> Path | None:
    """The file of a plugin; None for one of this package's own."""
    return _files(kind, plugin_folders()).get(name)


def problem(kind: Kind, name: str) -> str | None:
    """What is wrong with a `name` that no file has, and which names there are; None for a known one."""
    known = names(kind)
    if name in known:
        return None
    return f"there is no {kind.noun} {shown(name, 60)}{suggest(name, known)}; there are {', '.join(known)}"


def known_name(kind: Kind, name: str) -> str:
    """`name`, where a file has it; ValueError otherwise, for use in validators."""
    wrong = problem(kind, name)
    if wrong:
        raise ValueError(wrong)
    return name


def load(kind: Kind, name: str, of: type[T]) -> T:
    """The object of a known `name`; its file is imported, or executed, on the first call.

    Raises PluginError, with the file and the reason, for a plugin that cannot be executed or that does not
    define a `of` called like the file, in lower or upper case.
    """
    path = plugin_file(kind, name)
    module = _module(kind, name, path)
    word = name.replace("-", "_")
    found = next((vars(module)[key] for key in (word, word.upper()) if key in vars(module)), None)
    if not isinstance(found, of):
        instead = "it defines nothing of that name" if found is None else f"that is a {type(found).__name__}"
        raise PluginError(
            f"{path or module.__file__}: a {kind.noun} is a {of.__name__} called {word}, like its file, and "
            f"{instead}; CONTRIBUTING.md has an example"
        )
    return found


def digest(kind: Kind, name: str) -> str | None:
    """sha256 of a plugin's file as it is executed in this process; None for one of this package's own."""
    path = plugin_file(kind, name)
    return None if path is None else hashlib.sha256(_source(path)).hexdigest()


def use_plugins(*folders: str | Path) -> None:
    """Take criteria, losses, formats and families from these `folders` too, in this process and its children.

    Replaces the folders of an earlier call; files that have changed since then are executed again. The files
    are code: only name folders that you trust. Raises PluginError for a folder that cannot be used.
    """
    _set(os.pathsep.join(os.path.abspath(folder) for folder in folders))
    for kind in KINDS:
        names(kind)


@contextmanager
def plugins_kept() -> Iterator[None]:
    """Leave the plugin folders as they were when the block ends."""
    before = os.environ.get(VARIABLE)
    try:
        yield
    finally:
        if os.environ.get(VARIABLE) != before:
            _set(before)


def plugin_folders() -> tuple[str, ...]:
    """The plugin folders that are in use."""
    return tuple(filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)))


def blame(error: BaseException) -> PluginError | None:
    """The error that names the plugin whose code raised `error`; None where none was at work."""
    paths = {str(path) for kind in KINDS for path in _files(kind, plugin_folders()).values()}
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in paths]
    if not lines:
        return None
    reason = f"{type(error).__name__}: {error}"
    return PluginError(f"{lines[-1].filename}, line {lines[-1].lineno}: {reason}; correct the plugin")


def summary(kind: Kind, name: str) -> str:
    """The first paragraph of the docstring of a name's file, read without executing it."""
    import ast  # only where something is listed

    path = plugin_file(kind, name) or _place(kind) / f"{name}.py"
    try:
        text = ast.get_docstring(ast.parse(_source(path))) or ""
    except (SyntaxError, ValueError) as error:
        raise _unreadable(path, error) from error
    return " ".join(text.partition("\n\n")[0].split())


def _set(variable: str | None) -> None:
    for cached in (_files, _source, _module):
        cached.cache_clear()
    if variable:
        os.environ[VARIABLE] = variable
    else:
        os.environ.pop(VARIABLE, None)


@cache
def _files(kind: Kind, folders: tuple[str, ...]) -> dict[str, Path]:
    """{name: file} of the plugins of a kind."""
    found: dict[str, Path] = {}
    for folder in map(Path, folders):
        _check_folder(folder)
        for path in sorted((folder / kind.folder).glob("*.py")):
            name = path.stem
            if name.startswith(("_", ".")):
                continue
            if not NAME.fullmatch(name):
                raise PluginError(
                    f"{path}: a file's name is its plugin's name: of letters and digits, with single '_' or "
                    "'-' between them; rename it"
                )
            others = (*found, *bundled(kind), *kind.taken)
            same = next((other for other in others if other.casefold() == name.casefold()), None)
            if same is not None:
                other = found.get(same, f"the {kind.noun} {same} of tailored_llama")
                raise PluginError(f"{path}: its name is that of {other} too; rename the file")
            found[name] = path.absolute()
    return found


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise PluginError(f"plugins: {folder} is no directory; name one in --plugins or {VARIABLE}")
    if not any((folder / kind.folder).is_dir() for kind in KINDS):
        raise PluginError(
            f"plugins: {folder} has none of the folders {', '.join(kind.folder for kind in KINDS)}; put the "
            "files into one of them"
        )


@cache
def _source(path: Path) -> bytes:
    """The content of a plugin's file, read once: what has a digest is what is executed."""
    return path.read_bytes()


@cache
def _module(kind: Kind, name: str, path: Path | None) -> ModuleType:
    return import_module(f"{__package__}.{kind.package}.{name}") if path is None else _executed(kind, path)


def _executed(kind: Kind, path: Path) -> ModuleType:
    log.info("plugin %s", path)
    module = ModuleType(f"tailored_llama_{kind.folder}_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(_source(path), str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise (blame(error) or _unreadable(path, error)) from error
    return module


def _unreadable(path: Path, error: BaseException) -> PluginError:
    """The error for a file that is no Python, or cannot be read."""
    reason = f"{type(error).__name__}: {error}".replace(f"{path.name}, ", "")
    return PluginError(f"{path}: {reason}; correct the plugin")


def _place(kind: Kind) -> Path:
    """The folder of this package's own files."""
    return Path(__file__).parent.joinpath(*kind.package.split("."))
