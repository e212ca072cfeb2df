"""Criteria, losses, export formats and families: one file each, known by the name of the file.

Those of this package are in the folders of KINDS. Plugin folders are added by the environment variable
TAILORED_LLAMA_PLUGINS, `tailor --plugins DIR` or `use_plugins`:

    DIR/criteria/NAME.py   DIR/losses/NAME.py   DIR/formats/NAME.py   DIR/families/NAME.py

A plugin is Python code that runs with the user's permissions, so a recipe cannot name a folder. Names are
read from the folders; a file is executed when its name is first used. It defines one object with the name of
the file. A plugin is a single file: it may import installed packages, but not other plugin files, so that its
digest, which is part of a stage's fingerprint, covers all of its code.
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
    """A kind of extension: bundled ones are files of `package`, plugins files in `folder` of a
    plugin folder.
    """

    folder: str
    package: str
    noun: str
    taken: tuple[str, ...] = ()
    """Reserved names, which have another meaning."""


CRITERIA = Kind("criteria", "stages.prune.criteria", "criterion")
LOSSES = Kind("losses", "training.losses", "loss", ("replay",))
FORMATS = Kind("formats", "stages.export.formats", "export format")
FAMILIES = Kind("families", "families.tables", "family")
KINDS = (CRITERIA, LOSSES, FORMATS, FAMILIES)


@cache
def bundled(kind: Kind) -> tuple[str, ...]:
    """The sorted names of the bundled extensions of a kind. Imports nothing."""
    return tuple(sorted(path.stem for path in _place(kind).glob("*.py") if not path.stem.startswith("_")))


def listed(kind: Kind) -> str:
    """The bundled extensions of a kind for descriptions: `a`, `b`."""
    return ", ".join(f"`{name}`" for name in bundled(kind))


def names(kind: Kind) -> list[str]:
    """The sorted names of a kind: bundled ones and plugins. Executes nothing.

    Raises PluginError for an invalid plugin folder or file name.
    """
    return sorted({*bundled(kind), *_files(kind, plugin_folders())})


def plugin_file(kind: Kind, name: str) -> Path | None:
    """The file of a plugin; None for a bundled extension."""
    return _files(kind, plugin_folders()).get(name)


def problem(kind: Kind, name: str) -> str | None:
    """A message for an unknown `name`, with the known names; None for a known one."""
    known = names(kind)
    if name in known:
        return None
    return f"unknown {kind.noun} {shown(name, 60)}{suggest(name, known)}; known: {', '.join(known)}"


def known_name(kind: Kind, name: str) -> str:
    """`name` if it is known; ValueError otherwise, for use in validators."""
    message = problem(kind, name)
    if message:
        raise ValueError(message)
    return name


def load(kind: Kind, name: str, of: type[T]) -> T:
    """The object of a known `name`; its file is imported, or executed, on the first call.

    Raises PluginError, with the file and the reason, for a plugin that cannot be executed or does not define
    an object of type `of` with the name of the file, in lower or upper case.
    """
    path = plugin_file(kind, name)
    module = _module(kind, name, path)
    word = name.replace("-", "_")
    result = next((vars(module)[key] for key in (word, word.upper()) if key in vars(module)), None)
    if not isinstance(result, of):
        reason = "it is not defined" if result is None else f"it is a {type(result).__name__}"
        raise PluginError(
            f"{path or module.__file__}: a {kind.noun} must define a {of.__name__} named {word}, like its "
            f"file; {reason}; CONTRIBUTING.md has an example"
        )
    return result


def digest(kind: Kind, name: str) -> str | None:
    """sha256 of a plugin's file as executed in this process; None for a bundled extension."""
    path = plugin_file(kind, name)
    return None if path is None else hashlib.sha256(_source(path)).hexdigest()


def use_plugins(*folders: str | Path) -> None:
    """Add criteria, losses, formats and families from these `folders`, for this process and its children.

    Replaces the folders of an earlier call; changed files are executed again. The files are code: only use
    folders that you trust. Raises PluginError for an invalid folder.
    """
    _set(os.pathsep.join(os.path.abspath(folder) for folder in folders))
    for kind in KINDS:
        names(kind)


@contextmanager
def plugins_kept() -> Iterator[None]:
    """Restore the plugin folders when the block ends."""
    previous = os.environ.get(VARIABLE)
    try:
        yield
    finally:
        if os.environ.get(VARIABLE) != previous:
            _set(previous)


def plugin_folders() -> tuple[str, ...]:
    """The current plugin folders."""
    return tuple(filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)))


def blame(error: BaseException) -> PluginError | None:
    """A PluginError that names the plugin whose code raised `error`; None if it was not a plugin."""
    try:
        paths = {str(path) for kind in KINDS for path in _files(kind, plugin_folders()).values()}
    except PluginError:  # nothing of such folders was executed
        return None
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in paths]
    if not lines:
        return None
    reason = f"{type(error).__name__}: {error}"
    return PluginError(f"{lines[-1].filename}, line {lines[-1].lineno}: {reason}; correct the plugin")


def summary(kind: Kind, name: str) -> str:
    """The first paragraph of the docstring of a name's file, read without executing it."""
    import ast  # only needed for lists

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
    files: dict[str, Path] = {}
    for folder in map(Path, folders):
        _check_folder(folder)
        for path in sorted((folder / kind.folder).glob("*.py")):
            name = path.stem
            if name.startswith(("_", ".")):
                continue
            if not NAME.fullmatch(name):
                raise PluginError(
                    f"{path}: the name of a plugin may have letters and digits, with single '_' or '-' "
                    "between them; rename the file"
                )
            existing = (*files, *bundled(kind), *kind.taken)
            same = next((other for other in existing if other.casefold() == name.casefold()), None)
            if same is not None:
                other = files.get(same, f"the {kind.noun} {same} of tailored_llama")
                raise PluginError(f"{path}: it has the same name as {other}; rename the file")
            files[name] = path.absolute()
    return files


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise PluginError(f"plugins: {folder} is not a directory; correct --plugins or {VARIABLE}")
    if not any((folder / kind.folder).is_dir() for kind in KINDS):
        raise PluginError(
            f"plugins: {folder} has none of the folders {', '.join(kind.folder for kind in KINDS)}; put the "
            "files into one of them"
        )


@cache
def _source(path: Path) -> bytes:
    """The content of a plugin's file, read once, so that the digest matches the executed code."""
    return path.read_bytes()


@cache
def _module(kind: Kind, name: str, path: Path | None) -> ModuleType:
    return import_module(f"{__package__}.{kind.package}.{name}") if path is None else _executed(kind, path)


def _executed(kind: Kind, path: Path) -> ModuleType:
    log.info("plugin %s", path)
    module = ModuleType(f"tailored_llama_{kind.folder}_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look up their module
    try:
        exec(compile(_source(path), str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise (blame(error) or _unreadable(path, error)) from error
    return module


def _unreadable(path: Path, error: BaseException) -> PluginError:
    """The error for a file that is not valid Python or cannot be read."""
    reason = f"{type(error).__name__}: {error}".replace(f"{path.name}, ", "")
    return PluginError(f"{path}: {reason}; correct the plugin")


def _place(kind: Kind) -> Path:
    """The folder of the bundled extensions."""
    return Path(__file__).parent.joinpath(*kind.package.split("."))
