"""Play: a page on this machine where several models answer the same prompt, side by side."""

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
    allow_config: Sequence[str] = (),
) -> Iterator[str]:
    """The page over `models`, served while the block runs; gives its address.

    A model is a directory, a hub id, `world`, or a tuned directory whose base is another of `models`. `data`
    names local rows of tasks, as in a recipe; `tasks` are task files that the page offers beside the bundled
    tasks; `allow_config` attributes of config.json to accept that no
    table knows. Only this machine reaches the page unless `host` is another address, and requests that name
    another address or come from another site are refused. The page requests nothing of any other machine.
    Raises TailorError without the extra `play`, OutputError where the port is taken, and
    what loading raises.
    """
    if importlib.util.find_spec("gradio") is None:
        raise TailorError("the page needs gradio: pip install 'tailored-llama[play]'")
    if not models:
        raise TailorError("no model to play with; name at least one directory or hub id")
    place = _checked(host, port)
    # Read when gradio is first imported: no usage statistics, no look for a newer version.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from tailored_llama import checkpoint
    from tailored_llama.play.models import load_players
    from tailored_llama.play.page import build, served

    with checkpoint.accepting(allow_config):
        players = load_players(models)
    with served(build(players, dict(data or {}), tasks), place) as address:
        yield address


def _checked(host: str, port: int) -> Place:
    """Where to listen. OutputError where nothing can listen there, before the models are loaded."""
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
            f"{host}:{port} cannot be listened at ({reason}); choose another by --port, or by --host an "
            "address of this machine"
        ) from None
    return place
