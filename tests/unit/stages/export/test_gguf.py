"""GGUF files, read back: sizes, names, values, and what is refused before or while writing."""

from __future__ import annotations

import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import HeliumConfig

from tailored_llama.checkpoint import Weights, open_weights
from tailored_llama.errors import CheckpointError, FamilyError, OutputError, RecipeError, TailorError
from tailored_llama.families import LayerWidths
from tailored_llama.stages.export.gguf import to_gguf
from tailored_llama.stages.export.gguf.metadata import describe
from tailored_llama.stages.export.gguf.tensors import interleave
from tests.support.pico import ODD, VOCABULARY, layered
from tests.support.tokenizers import byte_level

ALIGNED = [LayerWidths(8, 4, 96), LayerWidths(4, 2, 32)]


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


class Watched:
    """Weights that know which of the tensors they gave away are still held by somebody."""

    def __init__(self, weights: Weights, fail_at: str = "") -> None:
        self.weights, self.config, self.fail_at = weights, weights.config, fail_at
        self.given: list[weakref.ref[torch.Tensor]] = []
        self.most = 0
        self.names, self.shape, self.dtype = weights.names, weights.shape, weights.dtype

    def tensor(self, name: str) -> torch.Tensor:
        if name == self.fail_at:
            raise KeyboardInterrupt
        copy = self.weights.tensor(name).clone()
        self.given.append(weakref.ref(copy))
        self.most = max(self.most, sum(ref() is not None for ref in self.given))
        return copy


def test_sizes_of_the_shaped_form_are_per_layer(tmp_path: Path) -> None:
    model = layered(ODD, tie_word_embeddings=True)
    fields, tensors = read(to_gguf(open_weights(model), tmp_path / "m.gguf", tokenizer_dir=None, dtype="f32"))
    assert fields["general.architecture"] == "deci"
    assert fields["deci.attention.head_count"] == [6, 2, 4]
    assert fields["deci.attention.head_count_kv"] == [3, 1, 2]
    assert fields["deci.feed_forward_length"] == [37, 5, 64]
    assert fields["deci.attention.key_length"] == fields["deci.rope.dimension_count"] == 8
    assert fields["tokenizer.ggml.model"] == "none"
    assert len(tensors) == 3 * 9 + 2
    assert "output.weight" not in tensors


def test_the_fallback_to_mistral_is_a_llama_in_the_file(tmp_path: Path) -> None:
    model = layered([LayerWidths(6, 3, 37)] * 2)
    assert model.config.model_type == "mistral"
    fields, tensors = read(to_gguf(open_weights(model), tmp_path / "m.gguf", tokenizer_dir=None, dtype="f32"))
    assert fields["general.architecture"] == "llama"
    assert fields["llama.attention.head_count"] == 6
    assert fields["llama.attention.value_length"] == 8
    assert "output.weight" in tensors


@pytest.mark.parametrize(("dtype", "step"), [("f32", 0), ("f16", 2**-11), ("bf16", 2**-8), ("q8_0", 1 / 127)])
def test_values_are_those_of_the_model_rounded(dtype: str, step: float, tmp_path: Path) -> None:
    model = layered(ALIGNED)
    path = to_gguf(open_weights(model), tmp_path / "m.gguf", tokenizer_dir=None, dtype=dtype)
    _, tensors = read(path)
    for name, source in (
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"),
        ("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"),
    ):
        wanted = model.get_parameter(source).detach().numpy()
        written = gguf.dequantize(tensors[name].data, tensors[name].tensor_type).reshape(wanted.shape)
        exact = wanted.ndim == 1 or dtype == "f32"
        assert (tensors[name].tensor_type.name == "F32") == exact
        assert np.abs(written - wanted).max() <= (0 if exact else step * np.abs(wanted).max())


@given(heads=st.integers(1, 4), half=st.integers(1, 5), columns=st.integers(1, 3))
def test_interleaving_pairs_the_halves_of_each_head(heads: int, half: int, columns: int) -> None:
    rows = torch.arange(heads * 2 * half)
    paired = interleave(rows, heads).reshape(heads, half, 2)
    for head in range(heads):
        start = head * 2 * half
        assert paired[head].tolist() == [[start + channel, start + half + channel] for channel in range(half)]
    # A weight's rows move as a bias's entries do.
    weight = rows[:, None].expand(-1, columns)
    assert interleave(weight, heads).equal(interleave(rows, heads)[:, None].expand(-1, columns))


def test_one_tensor_is_in_memory_at_a_time(tmp_path: Path) -> None:
    weights = Watched(open_weights(layered(ALIGNED)))
    to_gguf(weights, tmp_path / "m.gguf", tokenizer_dir=None, dtype="q8_0")
    assert len(weights.given) == len(weights.names())
    assert weights.most == 1


def test_an_interrupted_file_never_appears(tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    to_gguf(open_weights(layered(ODD)), out, tokenizer_dir=None, dtype="f16")
    before = out.read_bytes()
    weights = Watched(open_weights(layered(ODD, seed=1)), fail_at="model.layers.2.mlp.up_proj.weight")
    with pytest.raises(KeyboardInterrupt):
        to_gguf(weights, out, tokenizer_dir=None, dtype="f32")
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def refused(error: type[TailorError], match: str, out: Path, model: Any = None, dtype: str = "f16") -> None:
    weights = open_weights(layered(ODD) if model is None else model)
    before = sorted(out.parent.iterdir()) if out.parent.is_dir() else None
    with pytest.raises(error, match=match) as raised:
        to_gguf(weights, out, tokenizer_dir=None, dtype=dtype)
    assert "\n" not in str(raised.value)
    assert (sorted(out.parent.iterdir()) if out.parent.is_dir() else None) == before


def test_rows_that_do_not_fill_blocks_are_named_with_what_fits(tmp_path: Path) -> None:
    match = r"layers\.0\.self_attn\.o_proj.*rows of 48.*q8_0.*multiples of 32.*f16, bf16 and f32 fit.*align"
    refused(RecipeError, match, tmp_path / "m.gguf", dtype="q8_0")


def test_an_unknown_precision_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    refused(RecipeError, r"q8.*did you mean 'q8_0'.*f32, f16, bf16", tmp_path / "m.gguf", dtype="q8")


def test_a_full_disk_is_found_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**20))
    refused(OutputError, r"needs 16\.9 MB, 1\.05 MB are free; make room", tmp_path / "new" / "m.gguf")


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensor_data", full)
    refused(OutputError, "the disk is full .*; make room", tmp_path / "m.gguf")


def test_other_peoples_files_are_kept(tmp_path: Path) -> None:
    refused(OutputError, "is a directory.*name the file", tmp_path)
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    refused(OutputError, "not a GGUF file", notes)
    refused(OutputError, "cannot be created", notes / "m.gguf")
    assert notes.read_text() == "mine"


@pytest.mark.parametrize(
    ("value", "dtype", "match"),
    [
        (float("nan"), "f32", "not finite"),
        (float("inf"), "f16", "not finite"),
        (1e5, "f16", "range of f16.*bf16"),
    ],
)
def test_values_that_cannot_be_held_are_refused(value: float, dtype: str, match: str, tmp_path: Path) -> None:
    model = layered(ODD)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 0] = value
    refused(CheckpointError, rf"layers\.1\.mlp\.up_proj\.weight.*{match}", tmp_path / "m.gguf", model, dtype)


YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"rope_parameters": YARN}, "rope_parameters.*yarn.*default, linear, llama3"),
    ],
)
def test_what_llama_cpp_computes_otherwise_is_refused_by_name(
    settings: dict[str, Any], match: str, tmp_path: Path
) -> None:
    refused(FamilyError, match, tmp_path / "m.gguf", layered(ODD, **settings))


def test_other_families_windows_and_empty_layers_are_refused() -> None:
    with pytest.raises(FamilyError, match=r"'helium'.*llama, ministral, mistral"):
        describe(HeliumConfig())
    config = layered([LayerWidths(6, 3, 37)] * 2).config
    config.sliding_window = 16
    with pytest.raises(FamilyError, match="sliding_window is 16"):
        describe(config)
    config = layered(ODD).config
    config.layer_widths = [[6, 3, 37], [2, 1, 0], [4, 2, 64]]
    with pytest.raises(FamilyError, match="layer 1 keeps 2 heads and 0 MLP channels"):
        describe(config)


def test_a_directory_that_is_no_checkpoint_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model here")
    with pytest.raises(CheckpointError) as raised:
        open_weights(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_whole_checkpoint_directory_goes_in(tmp_path: Path) -> None:
    model = layered(ODD)
    model.save_pretrained(tmp_path / "model")
    byte_level(tmp_path / "model")
    path = to_gguf(
        open_weights(tmp_path / "model"), tmp_path / "m.gguf", tokenizer_dir=tmp_path / "model", dtype="bf16"
    )
    fields, _ = read(path)
    assert len(fields["tokenizer.ggml.tokens"]) == fields["deci.vocab_size"] == VOCABULARY
