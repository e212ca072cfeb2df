"""A merge that fails loses nothing: what was trained is on the disk, and the next call only merges."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tailored_llama import checkpoint, export, heal, tune
from tailored_llama.cli import execute
from tailored_llama.errors import MemoryLimitError, OutputError, TailorError
from tailored_llama.recipe import Heal, Tune
from tailored_llama.stages.heal import stage as healing
from tailored_llama.stages.tune import stage as tuning
from tests.support.tuning import QUICK

FAILURES: list[tuple[Exception, type[Exception], str]] = [
    (MemoryError(), MemoryLimitError, "out of memory"),
    (OSError(errno.ENOSPC, "No space left on device"), OutputError, "the disk is full"),
    (OSError(errno.EIO, "Input/output error"), OutputError, "Input/output error"),
    (OutputError("needs 9 GB, 1 GB are free"), OutputError, "needs 9 GB"),
    (RuntimeError("a mistake of the code"), RuntimeError, "a mistake"),
    (KeyboardInterrupt(), KeyboardInterrupt, ""),  # type: ignore[list-item]
]


class Count:
    """How often a training loop ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        for module in (tuning, healing):
            monkeypatch.setattr(module, "fit", self._counted(module.fit))

    def _counted(self, fit: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            self.calls += 1
            return fit(*arguments, **more)

        return counted


def files(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", "history.jsonl")
    }


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def work(verb: str, model: Path, rows: dict[str, str], out: Path) -> Any:
    if verb == "tune":
        return tune(model, task="boolq", data=rows, out=out, **QUICK)
    settings = Heal(texts=8, length=4, epochs=1, precision="fp32")
    return heal(
        model, teacher=model, tasks="boolq", data=rows, settings=settings, shots=Tune(shots=8), out=out
    )


CASES = [("tune", "merge_weights", *failure) for failure in FAILURES]
for elsewhere in (("tune", "write_checkpoint"), ("heal", "merge_weights")):
    CASES += [(*elsewhere, *FAILURES[kind]) for kind in (0, -1)]


@pytest.mark.parametrize(
    ("verb", "at", "error", "raised", "printed"), CASES, ids=lambda value: repr(value)[:24]
)
def test_the_next_call_does_not_train_again(
    verb: str, at: str, error: Exception, raised: type[Exception], printed: str, tmp_path: Path,
    base: Path, data: dict[str, str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    count, out = Count(monkeypatch), tmp_path / "room" / "out"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, at, raising(error))
        with pytest.raises(raised, match=printed) as caught:
            work(verb, base, data, out)
    assert count.calls == 1
    assert not out.exists()
    (kept,) = out.parent.glob("trained-*")
    assert (kept / "adapter" / "adapter_model.safetensors").is_file()
    assert (kept / "history.jsonl").is_file()
    if issubclass(raised, TailorError):
        assert str(kept) in str(caught.value)
        assert "without training again" in str(caught.value)
    work(verb, base, data, out)
    assert count.calls == 1, "it was trained already"
    assert [path.name for path in out.parent.iterdir()] == ["out"], "nothing is left beside it"
    if isinstance(error, MemoryError):
        work(verb, base, data, tmp_path / "at once")
        assert files(out) == files(tmp_path / "at once")


def test_the_error_line_names_the_adapter_which_can_be_used_as_it_is(
    base: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command = [
        "tune", str(base), "--task", "boolq", "--set", f"data={json.dumps(data)}", "--shots", "8",
        "--set", "tune.epochs=1", "--prompt", "paper", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "merge_weights", raising(MemoryError()))
        assert execute(command) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tailor:")]
    (kept,) = tmp_path.glob("trained-*")
    assert f"kept in {kept}" in line
    assert (export(base, adapter=kept, out=tmp_path / "merged") / "model.safetensors").is_file()


def test_an_export_that_fails_leaves_the_adapter(
    base: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    tuned = tune(base, task="boolq", data=data, out=tmp_path / "tuned", merge=False, **QUICK)
    assert isinstance(tuned, Path)
    before = files(tuned)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "merge_weights", raising(MemoryError()))
        with pytest.raises(MemoryLimitError):
            export(base, adapter=tuned, out=tmp_path / "out")
    assert files(tuned) == before
    assert not (tmp_path / "out").exists()
