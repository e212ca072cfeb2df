"""LoRA adapters (Hu et al. 2021) through peft: put on, written with their base's digest, loaded, merged."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from transformers import PreTrainedModel

from tailored_llama.checkpoint import load_model, open_weights, weights_digest
from tailored_llama.errors import TuneError
from tailored_llama.recipe import Lora
from tailored_llama.tune.dropout import quicken_dropout

# Every matrix of a decoder layer, by name: the same in plain and in shaped models, whatever their widths.
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FOLDER = "adapter"
BASE_FILE = "base.json"


def attach(model: PreTrainedModel, lora: Lora) -> PeftModel:
    """`model` with fresh adapters on TARGETS of every layer, changed in place; only they will train.

    Adapters are fp32, since steps of a small learning rate vanish in bf16; the base keeps its dtype. A fresh
    adapter changes no logit. Its initial values come from torch's global generator.
    """
    config = LoraConfig(
        task_type="CAUSAL_LM", target_modules=list(TARGETS), r=lora.r, lora_alpha=lora.alpha,
        lora_dropout=lora.dropout, bias="none",
    )  # fmt: skip
    adapted = get_peft_model(model, config)
    if model.device.type == "cpu":
        quicken_dropout(adapted)
    return adapted


def save_adapter(adapted: PeftModel, base_digest: str, directory: Path) -> None:
    """Write `adapter/` into `directory`: safetensors, peft's config, and the digest of the base's weights."""
    folder = directory / FOLDER
    # Its "auto" would ask the hub whether the base's vocabulary was changed; our adapters touch no embedding.
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / BASE_FILE).write_text(json.dumps({"weights": base_digest}) + "\n", encoding="utf-8")


def merge_adapter(adapted: PeftModel, dtype: torch.dtype) -> PreTrainedModel:
    """The plain model with the adapters folded into its matrices, in `dtype`; TuneError for NaN or Inf."""
    try:
        merged: PreTrainedModel = adapted.merge_and_unload(safe_merge=True).to(dtype)
    except ValueError as error:
        raise TuneError(f"the adapter cannot be merged: {error}; tune again in fp32") from None
    return merged


def load_tuned(
    base: str | Path | PreTrainedModel, directory: str | Path, *, device: torch.device | str = "cpu"
) -> PeftModel:
    """The tuned model: `base` with the adapter of the tuned directory (or adapter folder) `directory` on it.

    A model in memory is changed in place (peft's `unload` gives it back). Raises TuneError where there is no
    adapter, or it was tuned on other weights than those of `base`.
    """
    folder = find_adapter(Path(directory))
    weights = open_weights(base)
    theirs, ours = base_digest(folder), weights_digest(weights)
    if theirs != ours:
        raise TuneError(
            f"adapter {folder} was tuned on base {theirs[:8]}, this base is {ours[:8]}; "
            "name the base it belongs to"
        )
    model = base if isinstance(base, PreTrainedModel) else load_model(weights, device=device)
    try:
        return PeftModel.from_pretrained(model, str(folder)).eval()
    except (SafetensorError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TuneError(f"adapter {folder} does not load: {reason}; tune again") from None


def find_adapter(directory: Path) -> Path:
    """The adapter folder in (or at) `directory`, or TuneError."""
    for folder in (directory / FOLDER, directory):
        if (folder / "adapter_config.json").is_file():
            return folder
    raise TuneError(f"{directory} holds no adapter_config.json; name a directory that tune wrote")


def base_digest(folder: Path) -> str:
    """The digest of the weights an adapter was tuned on."""
    try:
        return str(json.loads((folder / BASE_FILE).read_text(encoding="utf-8"))["weights"])
    except (OSError, ValueError, KeyError, TypeError):
        raise TuneError(
            f"adapter {folder} does not say which base it belongs to ({BASE_FILE}); tune again"
        ) from None
