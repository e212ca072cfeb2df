"""Writing checkpoints: the same bits back, one tensor at a time, and nothing where something is wrong."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
import weakref
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM, PreTrainedModel

from tailored_llama import shaped as shaped_module
from tailored_llama.checkpoint import ModelWeights, load_model, open_weights, weights_digest, write_checkpoint
from tailored_llama.checkpoint.write import byte_size, plan_shards
from tailored_llama.errors import CheckpointError, OutputError
from tests.support.pico import PLAIN_SIZES, equal_bits, plain, saved, shaped

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
layer_widths = st.builds(
    lambda kv, group, mlp: [kv * group, kv, mlp], st.integers(1, 3), st.integers(1, 2), st.integers(1, 17)
)


def mixed(model: PreTrainedModel, dtypes: list[torch.dtype]) -> PreTrainedModel:
    """`model` with each parameter in a precision of its own."""
    for index, parameter in enumerate(model.parameters()):
        parameter.data = parameter.data.to(dtypes[index % len(dtypes)])
    return model


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(layer_widths, min_size=1, max_size=3),
    head_dim=st.sampled_from([2, 6]),
    hidden=st.sampled_from([32, 33]),
    tied=st.booleans(),
    bias=st.booleans(),
    dtypes=st.lists(st.sampled_from(DTYPES), min_size=1, max_size=3),
    shard=st.sampled_from([1, 5_000, 20_000, 2**30]),
)
def test_what_is_written_is_read_back_to_the_bit(
    widths: list[list[int]],
    head_dim: int,
    hidden: int,
    tied: bool,
    bias: bool,
    dtypes: list[torch.dtype],
    shard: int,
) -> None:
    model = shaped(
        layer_widths=widths, num_hidden_layers=len(widths), head_dim=head_dim, hidden_size=hidden,
        vocab_size=11, tie_word_embeddings=tied, attention_bias=bias, mlp_bias=bias,
    )  # fmt: skip
    weights = ModelWeights(mixed(model, dtypes))
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(weights, folder, max_shard_bytes=shard)
        read = open_weights(folder)
        assert read.names() == weights.names()
        for name in weights.names():
            assert read.dtype(name) == weights.dtype(name)
            assert torch.equal(read.tensor(name), weights.tensor(name))
        # safetensors' own reader finds the same, in files that hold each tensor once.
        stored = [load_file(path) for path in sorted(Path(folder).glob("*.safetensors"))]
        assert sorted(name for state in stored for name in state) == sorted(weights.names())
        assert all(torch.equal(state[name], weights.tensor(name)) for state in stored for name in state)
        for path in Path(folder).glob("*.safetensors"):
            assert_aligned(path)


def assert_aligned(path: Path) -> None:
    """Every tensor starts at a multiple of its element's width, so that a reader may map it as it lies."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    widths = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
    for facts in (facts for name, facts in header.items() if name != "__metadata__"):
        assert (8 + length + facts["data_offsets"][0]) % widths[facts["dtype"]] == 0


@settings(max_examples=25, deadline=None)
@given(shard=st.integers(1, 100_000))
def test_shards_are_filled_in_order_and_hold_what_they_may(shard: int) -> None:
    weights = ModelWeights(PLAIN)
    shards = plan_shards(weights, shard)
    assert [name for names in shards.values() for name in names] == weights.names()
    sizes = [sum(byte_size(weights, name) for name in names) for names in shards.values()]
    assert all(size <= shard or len(names) == 1 for size, names in zip(sizes, shards.values(), strict=True))
    firsts = [byte_size(weights, names[0]) for names in list(shards.values())[1:]]
    assert all(size + first > shard for size, first in zip(sizes, firsts, strict=False)), (
        "a shard ended early"
    )
    last = f"model-{len(shards):05}-of-{len(shards):05}.safetensors"
    assert list(shards)[-1] == ("model.safetensors" if len(shards) == 1 else last)


PLAIN = plain()


def test_the_files_are_laid_out_as_transformers_lays_them_out(tmp_path: Path) -> None:
    write_checkpoint(ModelWeights(PLAIN), tmp_path / "ours", max_shard_bytes=20_000)
    index = json.loads((tmp_path / "ours" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(p.numel() * 4 for p in PLAIN.parameters())
    for name, file in index["weight_map"].items():
        with safe_open(tmp_path / "ours" / file, framework="pt") as shard:
            assert shard.metadata() == {"format": "pt"}
            assert name in shard.keys()  # noqa: SIM118 (no mapping)
    theirs = json.loads((saved(PLAIN, tmp_path / "theirs") / "config.json").read_text())
    older = {"rope_theta": 10000.0, "torch_dtype": "float32"}  # for readers before transformers 5
    assert json.loads((tmp_path / "ours" / "config.json").read_text()) == theirs | older
    assert equal_bits(AutoModelForCausalLM.from_pretrained(tmp_path / "ours"), PLAIN)


def test_the_plain_form_is_a_stock_class_and_carries_no_code(tmp_path: Path) -> None:
    write_checkpoint(ModelWeights(plain(tie_word_embeddings=True)), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert not {"auto_map", "_name_or_path", "layer_widths"} & config.keys()
    assert type(AutoModelForCausalLM.from_pretrained(tmp_path)) is LlamaForCausalLM


def test_the_shaped_form_carries_its_code(tmp_path: Path) -> None:
    weights = open_weights(saved(shaped(), tmp_path / "base"))
    write_checkpoint(weights, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["model_type"] == "shaped_llama"
    assert config["num_attention_heads"] == PLAIN_SIZES["num_attention_heads"]
    assert config["auto_map"]["AutoModelForCausalLM"] == "shaped.ShapedLlamaForCausalLM"
    assert (tmp_path / "out" / "shaped.py").read_bytes() == Path(shaped_module.__file__).read_bytes()
    assert weights_digest(open_weights(tmp_path / "out")) == weights_digest(weights)


def test_the_config_says_the_precision_of_the_weights(tmp_path: Path) -> None:
    write_checkpoint(ModelWeights(plain().to(torch.bfloat16)), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert load_model(tmp_path).dtype == torch.bfloat16


def test_files_beside_the_weights_are_copied_byte_for_byte(tmp_path: Path, shared: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(shared / "models" / "stories260K", base)
    texts = {
        "chat_template.jinja": "{{ messages }}\r\n", "LICENSE": "free\n", "USE_POLICY.md": "be kind",
        "tokenizer_config.json": (base / "tokenizer_config.json").read_text() + "  \n",
        "README.md": "the base's own card", "notes.txt": "mine",
    }  # fmt: skip
    for name, text in texts.items():
        (base / name).write_bytes(text.encode())
    write_checkpoint(open_weights(base), tmp_path / "out", copy_from=base)
    copied = {path.name for path in (tmp_path / "out").iterdir()}
    assert copied == {path.name for path in base.iterdir()} - {"README.md", "notes.txt"}
    for name in copied - {"model.safetensors", "config.json"}:
        assert (tmp_path / "out" / name).read_bytes() == (base / name).read_bytes()


class Watched(ModelWeights):
    """Hands out copies, and counts how many of them are alive."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model)
        self.alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
        self.most = 0

    def tensor(self, name: str) -> torch.Tensor:
        copy = super().tensor(name).clone()
        self.alive.add(copy)
        self.most = max(self.most, len(self.alive))
        return copy


def test_one_tensor_at_a_time_is_in_memory(tmp_path: Path) -> None:
    weights = Watched(plain())
    write_checkpoint(weights, tmp_path)
    # While the next is handed out, the writer may still hold the last.
    assert 1 <= weights.most <= 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("exists", [False, True])
def test_weights_that_are_not_finite_leave_nothing_behind(tmp_path: Path, bad: float, exists: bool) -> None:
    out, model = tmp_path / "out", plain()
    if exists:
        out.mkdir()
        (out / "plan.json").write_text("{}")
    model.model.layers[2].mlp.down_proj.weight.data[3, 4] = bad
    with pytest.raises(CheckpointError, match=r"model\.layers\.2\.mlp\.down_proj\.weight contains"):
        write_checkpoint(ModelWeights(model), out, max_shard_bytes=10_000)
    assert [path.name for path in out.iterdir()] == ["plan.json"] if exists else not out.exists()


def test_room_is_checked_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10_000))
    with pytest.raises(OutputError, match=r"out: needs 1\.13 MB, 10\.0 kB are free; make room or name"):
        write_checkpoint(ModelWeights(PLAIN), tmp_path / "new" / "out")
    assert not any(tmp_path.iterdir())


def test_a_checkpoint_is_not_written_over_another(tmp_path: Path) -> None:
    write_checkpoint(ModelWeights(PLAIN), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputError, match="already contains a checkpoint"):
        write_checkpoint(ModelWeights(shaped()), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_integers_cannot_be_written(tmp_path: Path) -> None:
    class Integers(ModelWeights):
        def dtype(self, name: str) -> Any:
            return torch.int8 if "norm" in name else super().dtype(name)

    with pytest.raises(CheckpointError, match=r"norm\.weight is torch\.int8"):
        write_checkpoint(Integers(PLAIN), tmp_path / "out")
    assert not (tmp_path / "out").exists()
