"""Adapters on disk: locate, check against their base, attach, merge."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from tailored_llama.checkpoint.contents import (
    ADAPTER_BASE,
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG_FILE,
    adapter_files,
    is_there,
)
from tailored_llama.checkpoint.digests import digest_file
from tailored_llama.checkpoint.files import read_json
from tailored_llama.checkpoint.load import load_model
from tailored_llama.checkpoint.open import open_weights
from tailored_llama.checkpoint.shards import some
from tailored_llama.checkpoint.weights import Weights, require_finite, weights_digest
from tailored_llama.errors import CheckpointError, NotFiniteError, TuneError
from tailored_llama.memory import out_of_memory

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

FOLDER = "adapter"
ADAPTER_PICKLE = "adapter_model.bin"
REFUSED = ("megatron_config", "layer_replication", "alora_invocation_tokens")
"""Keys of an adapter's config that make PEFT import another package, or build a model that differs from the
base or cannot be merged.
"""
EMBEDDINGS = ("embed_tokens", "lm_head")


def load_tuned(
    base: str | Path | PreTrainedModel,
    directory: str | Path,
    *,
    base_unchecked: bool = False,
    dtype: Literal["auto"] | torch.dtype = "auto",
    device: torch.device | str = "cpu",
) -> PeftModel:
    """The tuned model: `base` with the adapter of the tuned directory (or adapter folder) `directory`.

    A model in memory is changed in place (peft's `unload` restores it). For `base_unchecked` and errors see
    `read_adapter`.
    """
    weights = open_weights(base)
    adapter = read_adapter(weights, directory, base_unchecked=base_unchecked)
    model = load_model(base if isinstance(base, PreTrainedModel) else weights, dtype=dtype, device=device)
    return attach(model, adapter)


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter as stored in `folder`: peft's config and the tensors by name."""

    folder: Path
    config: LoraConfig
    tensors: dict[str, Tensor]


def read_adapter(weights: Weights, directory: str | Path, *, base_unchecked: bool = False) -> Adapter:
    """The adapter in the tuned directory (or adapter folder) `directory`, for the base `weights`.

    With `base_unchecked` any base with matching shapes is accepted, for adapters that another program
    trained. Raises TuneError if there is no LoRA adapter in safetensors, or it is not finite, or was tuned on
    weights other than `weights`.
    """
    folder = find_adapter(directory)
    config, tensors = _config(folder), _tensors(folder)
    if not base_unchecked:
        recorded, actual = adapter_base(folder), weights_digest(weights)
        if recorded != actual:
            raise TuneError(
                f"adapter {folder} was tuned on base {recorded[:8]}, this base is {actual[:8]}; "
                "name the base it was tuned on"
            )
    embeddings = [name for name in tensors if any(part in name for part in EMBEDDINGS)]
    if embeddings and weights.config.tie_word_embeddings:
        raise TuneError(
            f"adapter {folder} trains {some(embeddings)}, but the base ties embedding and head, so a "
            "merged model cannot store it; untie them in the base (tie_word_embeddings) and tune again"
        )
    return Adapter(folder, config, tensors)


def merge_adapter(adapted: PeftModel, dtype: torch.dtype) -> PreTrainedModel:
    """The model with the adapter merged into its matrices, in `dtype`; TuneError for NaN or Inf."""
    try:
        merged: PreTrainedModel = adapted.merge_and_unload(safe_merge=True).to(dtype)
    except ValueError as error:
        raise TuneError(f"the adapter cannot be merged: {error}; tune again in fp32") from None
    return merged


def find_adapter(directory: str | Path) -> Path:
    """The adapter folder in (or at) `directory`, or TuneError."""
    for folder in (Path(directory) / FOLDER, Path(directory)):
        if (folder / ADAPTER_CONFIG).is_file():
            return folder
    raise TuneError(f"{directory} holds no {ADAPTER_CONFIG}; name a directory that tune wrote")


def named_adapter(adapter: str | Path | None, *, base_unchecked: bool) -> Path | None:
    """The adapter folder to merge, or None. TuneError if `base_unchecked` is set without an adapter."""
    if adapter is not None:
        return find_adapter(adapter)
    if base_unchecked:
        raise TuneError("--base-unchecked needs an adapter; name it: --adapter DIR (adapter=...)")
    return None


def is_adapter(directory: str | Path) -> bool:
    """Whether `directory` contains an adapter but no model."""
    path = Path(directory)
    if not path.is_dir() or (path / CONFIG_FILE).is_file():
        return False
    return (path / ADAPTER_CONFIG).is_file() or (path / FOLDER).is_dir()


def adapter_base(folder: Path) -> str:
    """The `weights_digest` of the base that an adapter was tuned on."""
    try:
        return str(read_json(folder / ADAPTER_BASE)["weights"])
    except (CheckpointError, KeyError):
        raise TuneError(
            f"adapter {folder} does not record its base ({ADAPTER_BASE}); tune again, or, if another program "
            f"trained it: tailor export BASE --adapter {folder} --base-unchecked"
        ) from None


def adapter_digest(folder: Path) -> str:
    """sha256, in hex, over names and contents of the adapter files that are read."""
    total = hashlib.sha256()
    for path in adapter_files(folder):
        total.update(f"{path.name}\0{digest_file(path)}\n".encode())
    return total.hexdigest()


def _config(folder: Path) -> LoraConfig:
    """peft's config of the adapter in `folder`; TuneError if it is not a LoRA adapter or has unsupported
    keys.
    """
    from peft import LoraConfig  # slow import

    path = folder / ADAPTER_CONFIG
    content = read_json(path)
    kind = content.get("peft_type")
    if kind != "LORA":
        raise TuneError(f"{path}: peft_type is {kind!r}; only LoRA adapters (LORA) can be merged")
    supported = {entry.name for entry in fields(LoraConfig)} - {"runtime_config"}
    for key, value in content.items():
        if value and (key in REFUSED or key not in supported):
            raise TuneError(f"{path}: {key} is not supported; train an adapter without it")
    named: dict[str, Any] = {key: value for key, value in content.items() if key in supported}
    try:
        return LoraConfig(**{**named, "inference_mode": True})
    except Exception as error:  # peft's own validation raises many types of errors
        raise TuneError(f"{path}: {_line(error)}; correct it or tune again") from None


def _tensors(folder: Path) -> dict[str, Tensor]:
    """The adapter's weights; TuneError if there are none in safetensors, or they are not finite."""
    path = folder / ADAPTER_WEIGHTS
    if not is_there(path):
        pickled = (folder / ADAPTER_PICKLE).exists()
        note = f", only {ADAPTER_PICKLE}, a pickle, which is never read" if pickled else ""
        raise TuneError(f"adapter {folder} has no {ADAPTER_WEIGHTS}{note}; save it as safetensors")
    try:
        tensors: dict[str, Tensor] = load_file(path)
        for name, tensor in tensors.items():
            require_finite(name, tensor, str(path))
    except NotFiniteError as error:
        raise TuneError(str(error)) from None
    except (SafetensorError, OSError) as error:
        raise TuneError(f"adapter {folder} does not load: {_line(error)}; tune again") from None
    return tensors


def attach(model: PreTrainedModel, adapter: Adapter) -> PeftModel:
    """`model` with exactly the weights of `adapter`; TuneError if the adapter does not fit.

    peft's own `from_pretrained` would read pickles, look for missing files on the hub, and ignore tensors
    that do not fit.
    """
    from peft import PeftModelForCausalLM, set_peft_model_state_dict

    folder = adapter.folder
    try:
        adapted = PeftModelForCausalLM(model, adapter.config)
        result = set_peft_model_state_dict(adapted, adapter.tensors)
    except Exception as error:  # peft validates little; bad values raise arbitrary Python errors
        if out_of_memory(error):
            raise
        raise TuneError(f"adapter {folder} does not fit the base: {_line(error)}") from None
    trained = ("lora_", "modules_to_save", "token_adapter")
    missing = [
        name for name in result.missing_keys
        if any(part in name for part in trained) and ".base_layer." not in name
    ]  # fmt: skip
    for names, problem in ((missing, "lacks"), (result.unexpected_keys, "has tensors unknown to the base:")):
        if names:
            raise TuneError(f"adapter {folder} {problem} {some(names)}; name the base it was tuned on")
    return adapted.eval()


def _line(error: Exception) -> str:
    """The message of `error` on one line, truncated."""
    return " ".join(str(error).split())[:300]
