"""What is written as GGUF computes and tokenises in llama.cpp as in transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, pre_tokenizers
from transformers import PreTrainedModel

from tailored_llama import world
from tailored_llama.checkpoint import load_model, load_tokenizer, open_weights
from tailored_llama.families import MODEL, Kept, LayerWidths
from tailored_llama.stages.export.gguf import to_gguf
from tailored_llama.stages.export.gguf.bytelevel import LLAMA3, QWEN2
from tailored_llama.stages.prune.surgery import CutWeights
from tests.support.llama_cpp_server import LlamaCpp
from tests.support.pico import ODD, VOCABULARY, layered
from tests.support.tokenizers import TEXTS, byte_level, sentence_pieces

pytest.importorskip("xllamacpp", reason="no llama.cpp: pip install xllamacpp")

TOLERANCE = 1e-4
LLAMA3_ROPE = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0,
    "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
}  # fmt: skip
LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
ALIKE = [LayerWidths(4, 2, 37)] * 2

CASES: dict[str, tuple[list[LayerWidths], dict[str, Any], str, str]] = {
    # widths, config, architecture in the file, model type in transformers
    "plain": (ALIKE, {}, "llama", "llama"),
    "plain tied": (ALIKE, {"tie_word_embeddings": True}, "llama", "llama"),
    "one head": ([LayerWidths(1, 1, 7)] * 2, {}, "llama", "llama"),
    "heads that do not divide": ([LayerWidths(6, 3, 37)] * 2, {}, "llama", "mistral"),
    "plain, llama3 rope": (ALIKE, {"rope_parameters": LLAMA3_ROPE}, "llama", "llama"),
    "plain, linear rope": (ALIKE, {"rope_parameters": LINEAR_ROPE}, "llama", "llama"),
    "plain, biases": (ALIKE, {"attention_bias": True, "mlp_bias": True}, "llama", "llama"),
    "shaped": (ODD, {}, "deci", "shaped_llama"),
    "shaped tied": (ODD, {"tie_word_embeddings": True}, "deci", "shaped_llama"),
    "shaped, llama3 rope": (ODD, {"rope_parameters": LLAMA3_ROPE}, "deci", "shaped_llama"),
    "shaped, biases": (ODD, {"attention_bias": True, "mlp_bias": True}, "deci", "shaped_llama"),
    "alike, but shaped": ([ODD[0]] * 2, {"attention_bias": True}, "llama", "shaped_llama"),
}


def check_against(
    model: PreTrainedModel, server: LlamaCpp, prompt: str, ids: list[int], tolerance: float, tokens: int = 24
) -> None:
    """Every log-probability of a greedy continuation, and the choices, equal those of `model`."""
    assert server.tokenize(prompt) == ids
    rows = int(model.config.vocab_size)
    picked, table = server.greedy(ids, tokens, rows)
    with torch.no_grad():
        logits = model(torch.tensor([ids + picked])).logits[0, len(ids) - 1 : -1].float()
    assert (logits.log_softmax(-1) - table).abs().max() < tolerance
    assert picked == logits.argmax(-1).tolist()


@pytest.mark.parametrize("name", CASES)
def test_log_probabilities_equal_those_of_transformers(name: str, tmp_path: Path) -> None:
    widths, settings, architecture, model_type = CASES[name]
    model = layered(widths, **settings)
    assert model.config.model_type == model_type
    tokenizer = byte_level(tmp_path)
    path = to_gguf(open_weights(model), tmp_path / "model.gguf", tokenizer_dir=tmp_path, dtype="f32")
    assert f"{architecture}.embedding_length".encode() in path.read_bytes()[:4096]
    check_against(model, LlamaCpp(path), TEXTS[0], tokenizer(TEXTS[0])["input_ids"], TOLERANCE)


UNITS: dict[str, tuple[list[LayerWidths], Kept]] = {
    "query heads": (ALIKE, {"query_heads": {0: [0, 2], 1: [1, 3]}}),
    "query heads of one layer": (ALIKE, {"query_heads": {1: [1, 3]}}),
    "residual channels": (ALIKE, {"hidden": {MODEL: [*range(0, 19), 22, 23]}}),
    "residual channels of shaped layers": (ODD, {"hidden": {MODEL: [*range(3, 24)]}}),
    "layers": ([*ALIKE, *ALIKE], {"layers": {MODEL: [0, 2, 3]}}),
    "all kinds": (
        [*ALIKE, *ALIKE],
        {
            "layers": {MODEL: [1, 3]}, "hidden": {MODEL: [*range(20)]}, "heads": {3: [1]},
            "query_heads": {1: [0, 2]}, "mlp": {3: [0, 5, 36]},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNITS)
def test_every_kind_of_units(name: str, tmp_path: Path) -> None:
    widths, kept = UNITS[name]
    cut = CutWeights(open_weights(layered(widths)), kept)
    tokenizer = byte_level(tmp_path)
    path = to_gguf(cut, tmp_path / "model.gguf", tokenizer_dir=tmp_path, dtype="f32")
    ids = tokenizer(TEXTS[0])["input_ids"]
    check_against(load_model(cut), LlamaCpp(path), TEXTS[0], ids, TOLERANCE)


@pytest.mark.parametrize("dtype", ["f16", "bf16", "q8_0"])
@pytest.mark.parametrize("form", ["plain", "shaped"])
def test_smaller_precisions_stay_near(form: str, dtype: str, tmp_path: Path) -> None:
    aligned = [LayerWidths(8, 4, 96), LayerWidths(4, 2, 32)]
    model = layered(aligned if form == "shaped" else [aligned[0]] * 2, seed=1)
    tokenizer = byte_level(tmp_path)
    path = to_gguf(open_weights(model), tmp_path / "model.gguf", tokenizer_dir=tmp_path, dtype=dtype)
    ids = tokenizer(TEXTS[3])["input_ids"]
    _, table = LlamaCpp(path).greedy(ids, 1, VOCABULARY)
    with torch.no_grad():
        wanted = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    assert torch.corrcoef(torch.stack([wanted, table[0]]))[0, 1] > 0.99
    assert (wanted - table[0]).abs().max() > 1e-5, "written in full precision"


CUTS: dict[str, Kept] = {
    "dense": {},
    "alike": {
        "heads": {layer: [0, 2, 3] for layer in range(5)},
        "mlp": {layer: [*range(0, 172, 2)] for layer in range(5)},
    },
    "shaped": {
        "heads": {0: [0, 2, 3], 2: [1], 4: [0, 3]},
        "mlp": {0: [*range(0, 172, 2)], 1: [*range(171)], 3: [*range(5, 160)]},
    },
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_trained_model_tells_the_same_story(cut: str, shared: Path, tmp_path: Path) -> None:
    directory = shared / "models" / "stories260K"
    weights = CutWeights(open_weights(directory), CUTS[cut])
    path = to_gguf(weights, tmp_path / "stories.gguf", tokenizer_dir=directory, dtype="f32")
    model, tokenizer, server = load_model(weights), load_tokenizer(directory), LlamaCpp(path)
    prompt = "Once upon a time, there was a"
    encoded = tokenizer(prompt, return_tensors="pt")
    check_against(model, server, prompt, encoded["input_ids"][0].tolist(), TOLERANCE, tokens=40)
    written = model.generate(**encoded, max_new_tokens=100, do_sample=False)[0]
    assert prompt + server.text(prompt, 100) == tokenizer.decode(written, skip_special_tokens=True)


def test_the_bundled_model(tmp_path: Path) -> None:
    directory = world.model_path()
    path = to_gguf(open_weights(directory), tmp_path / "world.gguf", tokenizer_dir=directory, dtype="f32")
    prompt = "Tom has a red ball.\nQuestion: does tom have a ball?\nAnswer:"
    ids = load_tokenizer(directory)(prompt)["input_ids"]
    check_against(load_model(directory, dtype=torch.float32), LlamaCpp(path), prompt, ids, TOLERANCE)


def known_pre_tokenizers() -> dict[str, tuple[Any, bool]]:
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def split(expression: str) -> Any:
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated"), plain])

    return {
        "gpt-2": (words, False),
        "smollm": (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words]), False),
        "llama-bpe": (split(LLAMA3), True),
        "dbrx": (split(LLAMA3), False),
        "qwen2": (split(QWEN2), False),
    }


@pytest.mark.parametrize("name", known_pre_tokenizers())
def test_byte_level_tokenizers_cut_alike(name: str, tmp_path: Path) -> None:
    pre, whole_words = known_pre_tokenizers()[name]
    tokenizer = byte_level(tmp_path, pre, ignore_merges=whole_words)
    model = layered(ALIKE)
    server = LlamaCpp(to_gguf(open_weights(model), tmp_path / "m.gguf", tokenizer_dir=tmp_path, dtype="f32"))
    for text in TEXTS:
        assert server.tokenize(text) == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("prepend", [True, False])
def test_sentence_pieces_cut_alike(prepend: bool, tmp_path: Path) -> None:
    tokenizer = sentence_pieces(tmp_path, prepend=prepend)
    server = LlamaCpp(
        to_gguf(open_weights(layered(ALIKE)), tmp_path / "m.gguf", tokenizer_dir=tmp_path, dtype="f32")
    )
    for text in TEXTS:
        assert server.tokenize(text) == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("place", ["tokenizers/llama", "models/stories260K"])
def test_real_tokenizers_cut_real_texts_alike(place: str, shared: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(shared / place)
    model = layered([LayerWidths(2, 1, 8)], vocabulary=len(tokenizer))
    server = LlamaCpp(
        to_gguf(open_weights(model), tmp_path / "m.gguf", tokenizer_dir=shared / place, dtype="f16")
    )
    rows = (shared / "data" / "c4" / "demo.jsonl").read_text().splitlines()[:100]
    for row in rows:
        text = json.loads(row)["text"]
        assert server.tokenize(text) == tokenizer(text)["input_ids"]


def test_the_chat_template_is_in_the_file(tmp_path: Path) -> None:
    template = "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    tokenizer = byte_level(tmp_path)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(tmp_path)
    server = LlamaCpp(
        to_gguf(open_weights(layered(ALIKE)), tmp_path / "m.gguf", tokenizer_dir=tmp_path, dtype="f32")
    )
    assert server.chat_template() == template
