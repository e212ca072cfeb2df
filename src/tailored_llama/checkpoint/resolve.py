"""Resolve the name of a model to a local directory."""

from __future__ import annotations

import os
from pathlib import Path

from tailored_llama.checkpoint.contents import ADAPTER_CONFIG, CONFIG_FILE, LICENCE_FILES, TOKENIZER_FILES
from tailored_llama.checkpoint.refused import adapter_message
from tailored_llama.errors import CheckpointError, shown
from tailored_llama.names import check_path

WORLD = "world"
HUB_FILES = ["*.json", "*.safetensors", *TOKENIZER_FILES, *LICENCE_FILES, "README.md"]
HUB_EXCLUDED = ["*/*", "consolidated*"]  # copies of the same weights in other layouts


def resolve(model: str | Path) -> Path:
    """The directory of `model`: a local directory, a GGUF file (imported into the user's cache), the
    bundled model `world`, or a hub id (safetensors only).

    Raises CheckpointError if it is none of these, if it is an adapter, or if the hub cannot be reached.
    """
    try:
        path = Path(check_path(str(model)))
    except ValueError as error:
        raise CheckpointError(f"model {shown(str(model))}: {error}") from None
    if str(model) == WORLD:
        from tailored_llama import world

        path = world.model_path()
        if not path.is_dir():
            raise CheckpointError(f"the bundled model is missing from {path}; install the package again")
        return path
    if path.is_dir():
        if (path / ADAPTER_CONFIG).is_file() and not (path / CONFIG_FILE).is_file():
            raise CheckpointError(adapter_message(path))
        return path
    if path.suffix == ".gguf" and path.is_file():
        from tailored_llama.checkpoint.gguf_file import imported

        return imported(path.resolve())
    if path.exists():
        raise CheckpointError(f"{model} is a file; name the checkpoint directory that contains it")
    if isinstance(model, Path) or not _could_be_hub_id(model):
        raise CheckpointError(f"no such directory: {model}; name a checkpoint directory, a hub id or `world`")
    return _download(model)


def public_name(model: str | Path) -> str:
    """The name of `model` in output files: `world`, a hub id, or the last part of its path."""
    from tailored_llama import world

    path = Path(model)
    if str(model) == WORLD or path == world.model_path():
        return WORLD
    cached = next((part for part in path.parts if part.startswith("models--")), None)
    if cached and "snapshots" in path.parts:
        return cached.removeprefix("models--").replace("--", "/")
    return path.resolve().name if path.is_absolute() or path.exists() else str(model)


def hub_id(model: str | Path) -> str | None:
    """The hub id of `model`, also for a directory in the hub's cache; None for any other."""
    name = public_name(model)
    return name if name.count("/") == 1 and _could_be_hub_id(name) else None


def _could_be_hub_id(name: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if name.startswith((".", "~", os.sep)) or name.endswith("/") or "\\" in name:
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _download(name: str) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError

    try:
        path = Path(snapshot_download(name, allow_patterns=HUB_FILES, ignore_patterns=HUB_EXCLUDED))
    except GatedRepoError:
        raise CheckpointError(
            f"{name}: gated repository; accept its licence at https://huggingface.co/{name} and run "
            "`hf auth login`"
        ) from None
    except RepositoryNotFoundError:
        raise CheckpointError(f"{name}: no such directory or model on the hub; check the name") from None
    except (OSError, ValueError, HTTPError) as error:
        offline = constants.is_offline_mode()
        hub = "is switched off (HF_HUB_OFFLINE)" if offline else f"does not answer ({type(error).__name__})"
        raise CheckpointError(
            f"{name}: no such directory, and the hub {hub}; check name or network"
        ) from None
    if (path / ADAPTER_CONFIG).is_file() and not (path / CONFIG_FILE).is_file():
        raise CheckpointError(adapter_message(path))
    if not any(path.glob("*.safetensors")):
        raise CheckpointError(
            f"{name}: the hub has no safetensors of it; convert its weights to safetensors first"
        )
    return path
