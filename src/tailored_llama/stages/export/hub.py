"""Upload to the hub, only on request."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id

from tailored_llama.errors import OutputError


def check_name(name: str) -> None:
    """OutputError if `name` is not a valid repository name; called before anything is written."""
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        reason = str(error).splitlines()[0]
        raise OutputError(f"--push-to-hub {name}: {reason}; write it as user/model") from None


def push(out: Path, name: str) -> str:
    """Upload the export in `out`, a directory or one file, to the model repository `name`; returns its URL.

    A missing repository is created as private. Raises OutputError if the hub cannot be reached or refuses the
    upload; `out` is kept.
    """
    api = HfApi()
    try:
        address = str(api.create_repo(name, private=True, exist_ok=True))
        if out.is_dir():
            api.upload_folder(repo_id=name, folder_path=out, commit_message="Exported by tailored_llama")
        else:
            api.upload_file(
                repo_id=name, path_or_fileobj=out, path_in_repo=out.name,
                commit_message="Exported by tailored_llama",
            )  # fmt: skip
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise OutputError(
            f"{out} is exported, but was not pushed to {name}: {reason[:200]}; log in with `hf auth login` "
            f"or fix the network, and rerun the command"
        ) from None
    return address
