"""Data sets on the hub, with one retry before the hub counts as unreachable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TRIES = 2


def load_dataset(*args: Any, **options: Any) -> Any:
    """`datasets.load_dataset`, which falls back to the local cache at once if the hub does not answer.

    The library itself would retry six times, half a minute apart. Raises ConnectionError if the hub does not
    answer and the data set is not cached; other errors of the library pass through.
    """
    import datasets

    reason = _unreachable()
    if reason is None:
        return datasets.load_dataset(*args, **options)
    try:
        with _offline():
            return datasets.load_dataset(*args, **options)
    except Exception:  # the library raises many types of errors for data sets that are not cached
        raise ConnectionError(f"the hub does not answer ({reason}); check the network") from None


def _unreachable() -> str | None:
    """Why the hub cannot be reached; None if it answers, with any status, or offline mode is on."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import HTTPError

    if constants.is_offline_mode():
        return None
    reason = None
    for _ in range(TRIES):
        try:
            get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
            return None
        except (HTTPError, OSError) as error:
            reason = type(error).__name__
    return reason


@contextmanager
def _offline() -> Iterator[None]:
    """Put huggingface_hub and datasets into offline mode inside the block."""
    import datasets
    from huggingface_hub import constants

    modules = (constants, datasets.config)
    previous = [module.HF_HUB_OFFLINE for module in modules]
    for module in modules:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(modules, previous, strict=True):
            module.HF_HUB_OFFLINE = value
