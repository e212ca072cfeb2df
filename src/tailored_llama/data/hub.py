"""Data sets on the hub, with one retry before it counts as out of reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TRIES = 2


def load_dataset(*what: Any, **options: Any) -> Any:
    """`datasets.load_dataset`; where the hub does not answer, from the local cache at once.

    The library alone waits half a minute between six requests. Raises ConnectionError where the hub does not
    answer and the cache does not have it, and else what the library raises.
    """
    import datasets

    reason = _unreachable()
    if reason is None:
        return datasets.load_dataset(*what, **options)
    try:
        with _offline():
            return datasets.load_dataset(*what, **options)
    except Exception:  # the library raises many kinds for what its cache does not have
        raise ConnectionError(f"the hub does not answer ({reason}); check the network") from None


def _unreachable() -> str | None:
    """Why the hub does not answer; None where it does, whatever it says, or is switched off by the user."""
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
    """Neither library asks the hub for anything within."""
    import datasets
    from huggingface_hub import constants

    places = (constants, datasets.config)
    before = [place.HF_HUB_OFFLINE for place in places]
    for place in places:
        place.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value
