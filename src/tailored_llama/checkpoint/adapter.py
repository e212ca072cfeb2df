"""Adapters on the disk: found, held against the base they were tuned on, put on it, folded into it."""

from __future__ import annotations

import hashlib
from dataclasses import fields
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
from tailored_llama.checkpoint.weights import require_finite, weights_digest
from tailored_llama.errors import CheckpointError, NotFiniteError, TuneError
from tailored_llama.memory import out_of_memory

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

FOLDER = "adapter"
ADAPTER_PICKLE = "adapter_model.bin"
REFUSED = ("megatron_config", "layer_replication", "alora_invocation_tokens")
"""Keys of an adapter's config by which PEFT imports another package, builds another model than the base, or
builds one that cannot be merged."""
EMBEDDINGS = ("embed_tokens", "lm_head")


def load_tuned(
    base: str | Path | PreTrainedModel,
    directory: str | Path,
    *,
    base_unchecked: bool = False,
    dtype: Literal["auto"] | torch.dtype = "auto",
    device: torch.device | str = "cpu",
) -> PeftModel:
    """The tuned model: `base` with the adapter of the tuned directory (or adapter folder) `directory` on it.

    A model in memory is changed in place (peft's `unload` gives it back). With `base_unchecked` any base of
    fitting shapes is taken, as for an adapter that another program trained. Raises TuneError where there is
    no LoRA adapter in safetensors, it is not finite, does not fit, or was tuned on other weights than those
    of `base`.
    """
    folder = find_adapter(directory)
    config, tensors = _config(folder), _tensors(folder)
    weights = open_weights(base)
    if not base_unchecked:
        theirs, ours = adapter_base(folder), weights_digest(weights)
        if theirs != ours:
            raise TuneError(
                f"adapter {folder} was tuned on base {theirs[:8]}, this base is {ours[:8]}; "
                "name the base it belongs to"
            )
    embeddings = [name for name in tensors if any(part in name for part in EMBEDDINGS)]
    if embeddings and weights.config.tie_word_embeddings:
        raise TuneError(
            f"adapter {folder} trains {some(embeddings)}, but the base ties its embedding and its head, so a "
            "merged model cannot hold it; untie them in the base (tie_word_embeddings) and tune again"
        )
    model = load_model(base if isinstance(base, PreTrainedModel) else weights, dtype=dtype, device=device)
    return _put_on(model, config, tensors, folder)


def merge_adapter(adapted: PeftModel, dtype: torch.dtype) -> PreTrainedModel:
    """The plain model with the adapters folded into its matrices, in `dtype`; TuneError for NaN or Inf."""
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
    """The adapter folder that is to be merged, None without one. TuneError where `base_unchecked` has nothing
    to say.
    """
    if adapter is not None:
        return find_adapter(adapter)
    if base_unchecked:
        raise TuneError("--base-unchecked is about an adapter; name it: --adapter DIR (adapter=...)")
    return None


def is_adapter(directory: str | Path) -> bool:
    """Whether `directory` holds an adapter and no model."""
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
            f"adapter {folder} does not say which base it belongs to ({ADAPTER_BASE}); tune again, or, if "
            f"another program trained it: tailor export BASE --adapter {folder} --base-unchecked"
        ) from None


def adapter_digest(folder: Path) -> str:
    """sha256 over names and contents of the files of an adapter that are read, in hex."""
    total = hashlib.sha256()
    for path in adapter_files(folder):
        total.update(f"{path.name}\0{digest_file(path)}\n".encode())
    return total.hexdigest()


def _config(folder: Path) -> LoraConfig:
    """peft's config of the adapter in `folder`; TuneError for what is no LoRA adapter, or has keys that this
    program does not follow.
    """
    from peft import LoraConfig  # seconds, which not every stage should pay

    path = folder / ADAPTER_CONFIG
    content = read_json(path)
    kind = content.get("peft_type")
    if kind != "LORA":
        raise TuneError(f"{path}: peft_type is {kind!r}; only LoRA adapters (LORA) can be merged")
    known = {entry.name for entry in fields(LoraConfig)} - {"runtime_config"}
    for key, value in content.items():
        if value and (key in REFUSED or key not in known):
            raise TuneError(f"{path}: {key} is not supported; train an adapter without it")
    named: dict[str, Any] = {key: value for key, value in content.items() if key in known}
    try:
        return LoraConfig(**{**named, "inference_mode": True})
    except Exception as error:  # as its fields' checks have it
        raise TuneError(f"{path}: {_line(error)}; correct it or tune again") from None


def _tensors(folder: Path) -> dict[str, Tensor]:
    """The adapter's weights; TuneError where there are none in safetensors, or they are not finite."""
    path = folder / ADAPTER_WEIGHTS
    if not is_there(path):
        pickled = (folder / ADAPTER_PICKLE).exists()
        found = f", only {ADAPTER_PICKLE}, a pickle, which is never read" if pickled else ""
        raise TuneError(f"adapter {folder} holds no {ADAPTER_WEIGHTS}{found}; save it as safetensors")
    try:
        tensors: dict[str, Tensor] = load_file(path)
        for name, tensor in tensors.items():
            require_finite(name, tensor, str(path))
    except NotFiniteError as error:
        raise TuneError(str(error)) from None
    except (SafetensorError, OSError) as error:
        raise TuneError(f"adapter {folder} does not load: {_line(error)}; tune again") from None
    return tensors


def _put_on(
    model: PreTrainedModel, config: LoraConfig, tensors: dict[str, Tensor], folder: Path
) -> PeftModel:
    """`model` with the adapter of `config` and `tensors` on it, all of them and no others.

    peft's own `from_pretrained` would read pickles, look for missing files on the hub, and drop what does
    not fit.
    """
    from peft import PeftModelForCausalLM, set_peft_model_state_dict

    try:
        adapted = PeftModelForCausalLM(model, config)
        result = set_peft_model_state_dict(adapted, tensors)
    except Exception as error:  # peft checks little, and raises what Python does with what it is given
        if out_of_memory(error):
            raise
        raise TuneError(f"adapter {folder} does not fit the base: {_line(error)}") from None
    trained = ("lora_", "modules_to_save", "token_adapter")
    missing = [name for name in result.missing_keys if any(part in name for part in trained)]
    for names, what in ((missing, "lacks"), (result.unexpected_keys, "has no place in the base for")):
        if names:
            raise TuneError(f"adapter {folder} {what} {some(names)}; name the base it belongs to")
    return adapted.eval()


def _line(error: Exception) -> str:
    """What `error` says, on one line, the longer part of it left out."""
    return " ".join(str(error).split())[:300]
