"""Play: a page on this machine where several models answer the same prompt, side by side."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tailored_llama.errors import OutputError, TailorError

__all__ = ["HOST", "PORT", "serving"]

HOST, PORT = "127.0.0.1", 7860


@contextmanager
def serving(
    models: Sequence[str | Path],
    *,
    data: Mapping[str, str] | None = None,
    host: str = HOST,
    port: int = PORT,
    allow_config: Sequence[str] = (),
) -> Iterator[str]:
    """The page over `models`, served while the block runs; gives its address.

    A model is a directory, a hub id, `world`, or a tuned directory whose base is another of `models`. `data`
    names local rows of tasks, as in a recipe; `allow_config` attributes of config.json to accept that no
    table knows. Only this machine reaches the page unless `host` says otherwise, and the page asks nothing of
    any other machine. Raises TailorError without the extra `play`, OutputError where the port is taken, and
    what loading raises.
    """
    if importlib.util.find_spec("gradio") is None:
        raise TailorError("the page needs gradio: pip install 'tailored-llama[play]'")
    if not models:
        raise TailorError("no model to play with; name at least one directory or hub id")
    _check_port(host, port)
    # Read when gradio is first imported: no usage statistics, no look for a newer version.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from tailored_llama import checkpoint
    from tailored_llama.play.models import load_players
    from tailored_llama.play.page import build, serve

    with checkpoint.accepting(allow_config):
        players = load_players(models)
    page = build(players, dict(data or {}))
    try:
        yield serve(page, host, port)
    finally:
        page.close(verbose=False)


def _check_port(host: str, port: int) -> None:
    """OutputError where nothing can listen there, before the models are loaded."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"{host}:{port} cannot be listened at ({reason}); choose another by --port"
        ) from None
