"""A plugin folder with one of each kind, and a pico model of its family."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, CwmConfig, PreTrainedModel

from tests.support import ROOT

PAGE = ROOT / "docs" / "guide" / "plugins.md"
EXAMPLE = re.compile(
    r"^`((?:criteria|losses|formats|families)/\w+\.py)`.*?^```python\n(.*?)^```", re.MULTILINE | re.DOTALL
)
FILES: dict[str, str] = dict(EXAMPLE.findall(PAGE.read_text(encoding="utf-8")))
"""The examples of the page on plugins, by the paths of their files."""
SPREAD, BRIER = FILES["criteria/spread.py"], FILES["losses/brier.py"]


def plugin_folder(place: Path) -> Path:
    """A criterion `spread`, a loss `brier`, a format `inventory` and the family `cwm` in `place`."""
    for name, text in FILES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return place


def cwm(vocabulary: int = 300) -> PreTrainedModel:
    """A random CWM of two layers, one with a sliding window, with grouped queries, in eval mode."""
    config = CwmConfig(
        vocab_size=vocabulary, hidden_size=48, intermediate_size=48, num_hidden_layers=2, head_dim=4,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=256, bos_token_id=0,
        eos_token_id=1, sliding_window=40, rope_parameters={"rope_type": "default", "rope_theta": 1e4},
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (parameter.ndim == 1))
    return model
