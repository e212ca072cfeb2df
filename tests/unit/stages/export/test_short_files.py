"""Files that a full disk cuts short: each missing byte is noticed, also the last ones of a buffer."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tailored_llama.checkpoint import open_weights
from tailored_llama.errors import OutputError
from tailored_llama.stages.export.formats import onnx
from tailored_llama.stages.export.gguf import to_gguf

resource = pytest.importorskip("resource")


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("missing", [1, 100, 2000, 5000, 20_000])
def test_a_gguf_file_is_whole_or_not_there(base: Path, tmp_path: Path, missing: int) -> None:
    weights = open_weights(base)
    to_gguf(weights, tmp_path / "whole.gguf", tokenizer_dir=None, dtype="f16")
    size = (tmp_path / "whole.gguf").stat().st_size
    with at_most(size - missing), pytest.raises(OutputError, match=r"disk|large|room"):
        to_gguf(weights, tmp_path / "short.gguf", tokenizer_dir=None, dtype="f16")
    assert [path.name for path in tmp_path.iterdir()] == ["whole.gguf"]


def test_a_short_data_file_of_a_graph_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx.data").write_bytes(bytes(99))
    entries = {"location": "model.onnx.data", "offset": "64", "length": "36"}
    tensor = SimpleNamespace(external_data=[SimpleNamespace(key=k, value=v) for k, v in entries.items()])
    graph = SimpleNamespace(graph=SimpleNamespace(initializer=[tensor]))
    monkeypatch.setattr("onnx.load", lambda *_, **__: graph)
    with pytest.raises(OSError, match="No space left"):
        onnx._check_whole(tmp_path / "model.onnx")
    (tmp_path / "model.onnx.data").write_bytes(bytes(100))
    onnx._check_whole(tmp_path / "model.onnx")
