"""What counts as wrong, whatever was tried; and when two directories are the same but for times."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.campaign.child import Ran

Outcome = Literal["done", "refused", "resumed"]
LINE = 600  # characters of an error line
MEMORY = 4 * 2**30  # bytes
REFUSAL = 30.0  # seconds
TRACES = re.compile(
    r"Traceback|^  File \"|^Exception ignored|^\s*\w+(Error|Exception|Interrupt)\b[:(]|\w+Warning: |"
    r"^Process \w+-\d|leaked semaphore|Segmentation|\bterminate called"
)
TIMES = ("seconds", "peak_memory")
TIMED_TEXT = re.compile(r"\d+(\.\d+)? (MiB|GiB|s|ms|seconds|min)\b|<td>\d+(\.\d+)?</td>")
TIMED = {"results.json", "report.html", "history.jsonl", "sweep.json", "matrix.json", "matrix.html"}
OWN = {"logs"}  # of the campaign, in a case's folder
COPIED = {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}  # as they came, byte for byte


class Wrong(Exception):  # noqa: N818  (a verdict, not an error of the campaign)
    """The product did what it never should; the message says what."""


def judge(ran: Ran) -> Literal["done", "refused", "interrupted"]:
    """The verdict on one command; Wrong where its exit code, streams, time or memory are off."""
    if ran.timed_out:
        raise Wrong(f"ran for more than {ran.wall:.0f} s: {ran.line}")
    if ran.code not in (0, 2, 130):
        raise Wrong(f"exit code {ran.code}: {ran.line}\n{_tail(ran.err)}")
    for line in ran.err.splitlines():
        if TRACES.search(line):
            raise Wrong(f"a trace on stderr: {ran.line}\n{_tail(ran.err)}")
        if len(line) > LINE and "\r" not in line:
            raise Wrong(f"a line of {len(line)} characters on stderr: {ran.line}\n{line[:400]} ...")
    errors = [line for line in ran.err.splitlines() if line.startswith("tailor: ")]
    if len(errors) != (ran.code != 0):
        raise Wrong(f"{len(errors)} error lines with exit code {ran.code}: {ran.line}\n{ran.err[-3000:]}")
    if ran.memory > MEMORY:
        raise Wrong(f"{ran.memory / 2**30:.1f} GiB of memory: {ran.line}")
    if ran.code == 2 and ran.seconds > REFUSAL:
        raise Wrong(f"{ran.seconds:.0f} s for a refusal: {ran.line}\n{ran.err[-1000:]}")
    _check_numbers(ran.out, ran.line)
    return "done" if ran.code == 0 else "refused" if ran.code == 2 else "interrupted"


def _tail(text: str) -> str:
    """The last lines: of a trace the frames of this package, and the error."""
    lines = text.splitlines()
    frames = [line for line in lines[:-2] if "tailored_llama/" in line][-4:]
    return "\n".join(frames + [line[:400] for line in lines[-2:]])


def check_stages(out: Path) -> None:
    """Wrong where a run directory, if it is there, holds a stage that is not whole."""
    for stage in out.iterdir() if out.is_dir() else ():
        if (
            stage.is_dir()
            and stage.name not in ("cells", "stages")
            and not (stage / "manifest.json").is_file()
        ):
            raise Wrong(f"a stage without a manifest: {stage.name}")


def check_left(out: Path) -> None:
    """Wrong where something half-written or without a number is left beside or in the directory `out`."""
    for path in sorted(out.parent.rglob("*")):
        if re.match(r"\..*(partial|replaced|tmp)", path.name) or path.name.endswith((".tmp", ".partial")):
            raise Wrong(f"left over: {path.relative_to(out.parent)}")
        if path.suffix in (".json", ".jsonl") and path.is_file() and path.name not in COPIED:
            _check_numbers(path.read_text(errors="replace"), path.name)


def _check_numbers(text: str, where: str) -> None:
    for line in [text] if text[:1] == "{" and "\n{" not in text else text.splitlines():
        if line[:1] in "{[" and re.search(r"\b(NaN|Infinity)\b", line):
            try:
                json.loads(line, parse_constant=_no_number)
            except json.JSONDecodeError:
                continue  # not JSON at all: text of a table, say


def _no_number(name: str) -> None:
    raise Wrong(f"a bare {name} in JSON")


def files_of(root: Path) -> dict[str, Path]:
    """Files, links and empty directories below `root`, by their relative names; none where there is none."""
    return {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    }


def snapshot(root: Path, without: Collection[str] = ()) -> dict[str, str]:
    """sha256 of all files below `root` by name, but for those below a top directory of `without`."""
    found = {}
    for name, path in files_of(root).items():
        if name.split("/")[0] not in {*without, *OWN}:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    return found


@contextmanager
def nothing_lost(folder: Path, outputs: Collection[str] = ("disk",)) -> Iterator[None]:
    """Wrong where the block changes, adds or removes a file of `folder` outside its `outputs`."""
    before = snapshot(folder, outputs)
    yield
    check_same(before, snapshot(folder, outputs), "outside the output")


def check_same(before: dict[str, Any], after: dict[str, Any], where: str) -> None:
    """Wrong with the first name that differs."""
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            how = "missing" if name not in after else "added" if name not in before else "changed"
            raise Wrong(f"{where}: {name} is {how}{_difference(before.get(name), after.get(name))}")


def _difference(one: Any, other: Any) -> str:
    if not (isinstance(one, str) and isinstance(other, str)):
        return ""
    pairs = zip(one.splitlines(), other.splitlines(), strict=False)
    lines = next(((a, b) for a, b in pairs if a != b), ("", ""))
    return f"\n- {lines[0][:300]}\n+ {lines[1][:300]}"


def contents(root: Path) -> dict[str, str]:
    """What a directory of results holds, but for times, memory and digests of files that tell them."""
    # A result that names its own place, or that where it was before it was copied, differs by it.
    places = re.compile(re.escape(f"{root.parent.parent}/") + r"[^/]+/")
    return {name: places.sub("", _content(path)) for name, path in files_of(root).items()}


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if not path.is_file():
        return "no file"
    if path.suffix in (".json", ".jsonl"):
        text = path.read_text(encoding="utf-8")
        lines = [text] if path.suffix == ".json" else text.splitlines()
        return "\n".join(json.dumps(_without_times(json.loads(line)), indent=1) for line in lines)
    if path.suffix == ".html":
        return TIMED_TEXT.sub("", path.read_text(encoding="utf-8"))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: "timed" if Path(key).name in TIMED else _without_times(item)
        for key, item in value.items()
        if key not in TIMES
    }
