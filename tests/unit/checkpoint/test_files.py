"""JSON files, and the digests of directories: of what makes a model, or of all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailored_llama.checkpoint import digest_directory, read_json, write_json
from tailored_llama.errors import CheckpointError


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"name": "Ünal"})
    assert path.read_text(encoding="utf-8") == '{\n  "name": "Ünal"\n}\n'
    with pytest.raises(TypeError):
        write_json(path, {"name": {1, 2}})
    assert read_json(path) == {"name": "Ünal"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    path.write_text("[1]")
    with pytest.raises(CheckpointError, match="not a JSON object"):
        read_json(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_json(tmp_path / "none.json")


def test_the_digest_of_a_checkpoint_is_of_what_makes_the_model(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text(name)
    before = digest_directory(tmp_path)
    for name in ("README.md", "manifest.json", "plan.json", "LICENSE"):
        (tmp_path / name).write_text("beside it")
    assert digest_directory(tmp_path) == before
    for name in ("config.json", "model.safetensors", "tokenizer.json", "model-00001-of-00002.safetensors"):
        old = (tmp_path / name).read_text() if (tmp_path / name).exists() else None
        (tmp_path / name).write_text("changed")
        assert digest_directory(tmp_path) != before, name
        if old is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_text(old)
    assert digest_directory(tmp_path) == before


def test_the_digest_of_any_other_directory_is_of_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "train.jsonl").write_text(json.dumps({}))
    before = digest_directory(tmp_path)
    (tmp_path / "sub" / "train.jsonl").write_text(json.dumps({"a": 1}))
    assert digest_directory(tmp_path) != before
