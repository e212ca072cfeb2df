"""Every family that is written as GGUF computes in llama.cpp as in transformers, after a cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tailored_llama import families
from tailored_llama.checkpoint import load_model, open_weights
from tailored_llama.errors import FamilyError
from tailored_llama.families import MODEL, Kept, family_named
from tailored_llama.stages.export.gguf import to_gguf
from tailored_llama.stages.export.gguf.metadata import describe
from tailored_llama.stages.prune.surgery import CutWeights
from tests.support.llama_cpp_server import LlamaCpp
from tests.support.pico import family_of, pico, pico_config
from tests.support.tokenizers import TEXTS, byte_level

WINDOWS: dict[str, Any] = {
    "sliding_window": 8, "layer_types": [*["sliding_attention"] * 3, "full_attention"],
}  # fmt: skip
FULL = ["full_attention"] * 4
SIZES: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 4,
    "num_hidden_layers": 4, "max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 2,
    "attention_bias": False, "mlp_bias": False,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "phi3": {"sliding_window": None, "partial_rotary_factor": 0.5, "pad_token_id": 0},
    "gemma": {},
    "gemma2": {"query_pre_attn_scalar": 8, "sliding_window": 8},
    "gemma3_text": {
        "query_pre_attn_scalar": 8, "final_logit_softcapping": None, "sliding_window": 8,
        "num_hidden_layers": 6, "sliding_window_pattern": 6,
    },
    "granite": {"attention_bias": True, "mlp_bias": True},
    "smollm3": {"no_rope_layers": [1, 1, 1, 0], "sliding_window": None, "use_sliding_window": False},
    "olmo2": {},
    "olmo3": WINDOWS,
    "arcee": {},
    "seed_oss": {"attention_bias": True},
    "hunyuan_v1_dense": {},
    "ernie4_5": {"use_bias": False},
    "ministral": {"sliding_window": 8, "layer_types": FULL},
    "exaone4": {"sliding_window": None, "layer_types": FULL},
    "glm4": {"attention_bias": True},
    "cohere2": WINDOWS,
    "nemotron": {},
    "starcoder2": {"sliding_window": None},
}  # fmt: skip
"""The attributes with which llama.cpp represents a family, beside those of the pico model."""


class RoundedGelu(nn.Module):
    """GELU as llama.cpp computes it, from a table of half-precision numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(x.half().float(), approximate="tanh").half().float()


@pytest.mark.parametrize("case", CASES)
def test_a_cut_model_computes_the_same(case: str, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="no llama.cpp: pip install xllamacpp")
    sizes = {**SIZES, **CASES[case]}
    if case == "qwen2":  # its biases have no switch
        del sizes["attention_bias"]
    model = pico(case, **sizes)
    form, layers = family_named(case).gguf, range(model.config.num_hidden_layers)
    assert form is not None
    kept: Kept = {"mlp": {layer: [*range(11)] for layer in layers}}
    if not form.square:
        kept |= {"heads": {layer: [0, 2] for layer in layers}, "hidden": {MODEL: [*range(40)]}}
    cut = CutWeights(open_weights(model), kept)
    reference = load_model(cut)
    for module in reference.modules():
        if hasattr(module, "act_fn") and "gelu" in form.activation:
            module.act_fn = RoundedGelu()
        if hasattr(module, "act") and "gelu" in form.activation:
            module.act = RoundedGelu()
    tokenizer = byte_level(tmp_path)
    path = to_gguf(cut, tmp_path / "model.gguf", tokenizer_dir=tmp_path, dtype="f32")
    ids = tokenizer(TEXTS[0])["input_ids"]
    picked, table = LlamaCpp(path).greedy(ids, 12, 320)
    with torch.no_grad():
        logits = reference(torch.tensor([ids + picked])).logits[0, len(ids) - 1 : -1].float()
    # A number at the border of two half-precision ones is rounded to either.
    assert (logits.log_softmax(-1) - table).abs().max() < (2e-2 if "gelu" in form.activation else 1e-3)


def test_all_that_have_a_form_are_compared() -> None:
    assert {*CASES, "mistral"} == {name for name in families.family_names() if family_named(name).gguf}


@pytest.mark.parametrize(
    ("case", "changes", "reason"),
    [
        ("qwen2", {"num_attention_heads": 4}, "heads x head_dim is 32, .*qwen2 needs hidden_size = 64"),
        ("arcee", {"mlp_bias": True}, "mlp.down_proj has a bias, and llama.cpp's arcee has none there"),
        ("gemma2", {"query_pre_attn_scalar": 5}, "query_pre_attn_scalar is 5"),
        ("smollm3", {"no_rope_layers": [1, 0, 1, 0]}, "no_rope_layers does not have a 0"),
        ("cohere2", {"layer_types": FULL}, "layer_types does not have full_attention for every fourth"),
        ("exaone4", WINDOWS, "sliding_window is 8, and llama.cpp uses full attention"),
        ("helium", {}, r"'helium' cannot be written as GGUF \(llama.cpp has no such architecture\)"),
    ],
)
def test_what_llama_cpp_computes_otherwise_is_refused(
    case: str, changes: dict[str, Any], reason: str
) -> None:
    config = pico_config(family_of(case), **{**SIZES, **CASES.get(case, {}), **changes})
    with pytest.raises(FamilyError, match=reason):
        describe(config)
