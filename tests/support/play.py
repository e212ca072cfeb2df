"""A page of `tailor play` over a small model, and requests to it, for the tests of what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import torch

from tailored_llama.families import LayerWidths
from tailored_llama.play.guard import ONLY_HERE
from tests.support.pico import layered
from tests.support.tokenizers import byte_level

PORT = 7860
HOME = f"127.0.0.1:{PORT}"
JSON = {"content-type": "application/json"}
JOIN = "/gradio_api/queue/join"


class Asgi:
    """Sends requests to an ASGI application without a server."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, content: bytes = b""
    ) -> httpx.Response:
        async def sent() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=self.app), base_url=f"http://{HOME}"
            ) as client:
                return await client.request(method, path, headers=headers, content=content)

        return asyncio.run(sent())


def page_of(folder: Path) -> Any:
    """The page over one pico model, which is written to `folder`."""
    from tailored_llama.play.models import load_players
    from tailored_llama.play.page import build

    torch.manual_seed(0)
    layered([LayerWidths(4, 2, 37)] * 2).save_pretrained(folder)
    byte_level(folder)
    return build(load_players([folder]), {})


def refused(response: httpx.Response) -> str:
    """The one plain line of a refusal."""
    assert response.status_code == 403
    assert response.headers["content-type"].startswith("text/plain")
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert response.headers["content-security-policy"] == ONLY_HERE
    (line,) = response.text.splitlines()
    assert line.startswith("refused: ")
    return str(line)
