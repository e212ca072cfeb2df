"""LoRA adapters (Hu et al. 2021) through peft: added to a model, and written with the digest of
their base.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from transformers import PreTrainedModel

from tailored_llama.checkpoint import hub_id, read_json, write_json, write_tensors
from tailored_llama.checkpoint.adapter import FOLDER
from tailored_llama.checkpoint.contents import ADAPTER_BASE, ADAPTER_CONFIG, ADAPTER_WEIGHTS
from tailored_llama.errors import RecipeError
from tailored_llama.families import projections
from tailored_llama.recipe import Lora
from tailored_llama.training.cpu_kernels.dropout import quicken_dropout


def attach(model: PreTrainedModel, lora: Lora) -> PeftModel:
    """Add new adapters to `lora.targets` of every layer of `model`, in place; only they are trainable.

    Adapters are fp32, since steps with a small learning rate vanish in bf16; the base keeps its dtype. A new
    adapter does not change the logits. Its initial values come from torch's global generator. A fused matrix
    is adapted if any of its parts is. Raises RecipeError if the family has none of the targets.
    """
    there = projections(model.config.model_type)
    targets = sorted({there[target] for target in lora.targets if target in there})
    if not targets:
        raise RecipeError(
            f"tune.lora.targets: {model.config.model_type} has no {' or '.join(lora.targets)}; "
            f"choose from {', '.join(there)}"
        )
    config = LoraConfig(
        task_type="CAUSAL_LM", r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, bias="none",
        target_modules=targets,
        use_dora=lora.dora, use_rslora=lora.rslora,
    )  # fmt: skip
    adapted = get_peft_model(model, config)
    if model.device.type == "cpu":
        quicken_dropout(adapted, lora.dropout)
    return adapted


def save_adapter(adapted: PeftModel, base_digest: str, directory: Path) -> None:
    """Write `adapter/` into `directory`: safetensors, peft's config, and the digest of the base's weights.

    The config names the base by its hub id or digest, not by a local path.
    """
    folder = directory / FOLDER
    # Written file by file: peft's save_pretrained queries the hub and writes an empty model card.
    lora = adapted.peft_config[adapted.active_adapter]
    lora.save_pretrained(str(folder))
    write_tensors(folder / ADAPTER_WEIGHTS, get_peft_model_state_dict(adapted, save_embedding_layers=False))
    config: Any = read_json(folder / ADAPTER_CONFIG)
    # peft stores a set, whose order differs between processes; sorted, equal adapters give equal files.
    targets = sorted(config["target_modules"])
    base = hub_id(lora.base_model_name_or_path or "") or f"sha256:{base_digest}"
    config |= {"target_modules": targets, "inference_mode": True, "base_model_name_or_path": base}
    write_json(folder / ADAPTER_CONFIG, config)
    write_json(folder / ADAPTER_BASE, {"weights": base_digest})
