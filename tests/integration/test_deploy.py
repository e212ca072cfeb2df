"""The `deploy` recipe: a stock checkpoint comes out, and a process without our package computes the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tailored_llama.checkpoint import load_model
from tailored_llama.cli import execute
from tests.support.pico import saved, worded

ALONE = """
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "tailored_llama":
            raise ImportError("tailored_llama is not here")
sys.meta_path.insert(0, Absent())
try:
    import tailored_llama
    sys.exit("ours was imported")
except ImportError:
    pass
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval()
ids = load_file(sys.argv[2])["ids"]
with torch.no_grad():
    save_file({"logits": model(ids).logits.contiguous()}, sys.argv[3])
print(type(model).__name__)
"""


def pruned(tmp_path: Path, ratio: float, heads: int) -> Path:
    """A random LLaMA of two layers, cut by the recipe as its user would."""
    model = worded(
        context=128, vocabulary=256, weights="fresh", hidden_size=64 * heads, intermediate_size=1024,
        num_attention_heads=heads, num_key_value_heads=heads, head_dim=64, bos_token_id=1, eos_token_id=2
    )  # fmt: skip
    saved(model, tmp_path / "dense")
    tokens = tmp_path / "tokens.safetensors"
    save_file({"input_ids": torch.randint(256, (4, 16))}, tokens)
    command = ["prune", str(tmp_path / "dense"), "--recipe", "deploy", "--out", str(tmp_path / "cut")]
    text = f"prune.calibration={{source: {tokens}, samples: 4, length: 16}}"
    assert execute([*command, "--ratio", str(ratio), "--set", text]) == 0
    return tmp_path / "cut"


@pytest.mark.parametrize(
    ("heads", "ratio", "kind"), [(8, 0.5, "LlamaForCausalLM"), (8, 0.22, "MistralForCausalLM")]
)
def test_a_stock_checkpoint_in_widths_of_128(heads: int, ratio: float, kind: str, tmp_path: Path) -> None:
    cut = pruned(tmp_path, ratio, heads)
    config: dict[str, Any] = json.loads((cut / "config.json").read_text())
    assert config["architectures"] == [kind]
    assert "layer_widths" not in config
    assert "auto_map" not in config
    assert config["intermediate_size"] % 128 == 0
    assert config["num_attention_heads"] * config["head_dim"] % 128 == 0
    assert not list(cut.glob("*.py"))
    if kind == "MistralForCausalLM":
        assert config["sliding_window"] is None

    ids, logits = tmp_path / "ids.safetensors", tmp_path / "logits.safetensors"
    save_file({"ids": torch.randint(256, (2, 20))}, ids)
    alone = subprocess.run(
        [sys.executable, "-c", ALONE, str(cut), str(ids), str(logits)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert alone.stdout.strip() == kind
    with torch.no_grad():
        ours = load_model(cut)(load_file(ids)["ids"]).logits
    assert torch.equal(load_file(logits)["logits"], ours)
