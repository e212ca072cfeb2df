"""`tailor play`: a local web page on which several models answer the same prompt, side by side."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tailored_llama.errors import OutputError, TailorError

if TYPE_CHECKING:
    from tailored_llama.play.guard import Place

__all__ = ["HOST", "PORT", "serving"]

HOST, PORT = "127.0.0.1", 7860


@contextmanager
def serving(
    models: Sequence[str | Path],
    *,
    data: Mapping[str, str] | None = None,
    tasks: Sequence[str] = (),
    host: str = HOST,
    port: int = PORT,
    device: str | None = None,
    allow_config: Sequence[str] = (),
) -> Iterator[str]:
    """Serve the page for `models` inside the block; yields its address.

    A model is a directory, a hub id, `world`, or a tuned directory whose base is another of `models`.
    `device` and `data` (local rows of tasks) are those of a recipe; `tasks` are task files to offer in
    addition to the bundled tasks; `allow_config` names unknown attributes of config.json to accept. The page
    is reachable only from this machine unless `host` is another address; requests for another address or from
    another site are rejected. The page loads nothing from other machines. Raises
    TailorError without the extra `play`, OutputError if the port is in use, and the errors of loading.
    """
    if importlib.util.find_spec("gradio") is None:
        raise TailorError("the page needs gradio: pip install 'tailored-llama[play]'")
    if not models:
        raise TailorError("no model to play with; name at least one directory or hub id")
    place = _checked(host, port)
    from tailored_llama import checkpoint
    from tailored_llama.play.models import load_players

    with checkpoint.accepting(allow_config):
        players = load_players(models, device)
    # Read when gradio is first imported: no usage statistics, no version check.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Takes seconds, which a refused model does not wait for.
    from tailored_llama.play.page import build, served

    with served(build(players, dict(data or {}), tasks), place) as address:
        yield address


def _checked(host: str, port: int) -> Place:
    """The address to listen on. OutputError if it cannot be used; checked before the models are loaded."""
    from tailored_llama.play.guard import Place

    name = host.removeprefix("[").removesuffix("]")
    try:
        place = Place.of(name, port)
        for address in place.addresses:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"cannot listen on {host}:{port} ({reason}); choose another port with --port, or an address of "
            "this machine with --host"
        ) from None
    return place
