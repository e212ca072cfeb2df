"""What works without the package, or without what it depends on: each test in a Python of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from tailored_llama import checkpoint, prune
from tests.support.pico import pico, saved


def test_the_plugin_needs_nothing_that_vllm_does_not_bring() -> None:
    """Ours may be installed without its dependencies, beside vLLM."""
    absent = ("peft", "lm_eval", "datasets", "gguf", "jaxtyping", "accelerate", "matplotlib", "ruamel.yaml")
    code = (
        f"import sys; absent = {absent!r}; sys.modules.update(dict.fromkeys(absent));"
        "import tailored_llama.integrations.vllm; from tailored_llama import shaped; shaped.register()"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_shaped_phi3_loads_without_the_package(tmp_path: Path) -> None:
    saved(pico("phi3", vocab_size=24, pad_token_id=0, bos_token_id=1, eos_token_id=2), tmp_path / "dense")
    cut = prune(tmp_path / "dense", out=tmp_path / "cut", ratio=0.3, criterion="l1", allocate="global")
    code = (
        "import sys, json, torch; sys.modules['tailored_llama'] = None\n"
        "from transformers import AutoModelForCausalLM\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True).eval()\n"
        "tokens = torch.tensor(json.loads(sys.argv[2]))\n"
        "print(json.dumps(model(tokens).logits.tolist()))\n"
    )
    tokens = torch.randint(24, (2, 9))
    done = subprocess.run(
        [sys.executable, "-c", code, str(cut), json.dumps(tokens.tolist())],
        env={**os.environ, "HF_HOME": str(tmp_path / "hf")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    model = checkpoint.load_model(cut)
    assert model.config.model_type.startswith("shaped")
    with torch.no_grad():
        assert torch.equal(torch.tensor(json.loads(done.stdout)), model(tokens).logits)
