"""The page itself: the prompt on the left, a task's questions on the right, every model's answer below."""

from __future__ import annotations

import html
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any, ParamSpec, TypeVar

import gradio as gr
import uvicorn
from fastapi import FastAPI

from tailored_llama.errors import OutputError, TailorError
from tailored_llama.play import questions
from tailored_llama.play.answers import Reply, columns, reply
from tailored_llama.play.guard import Guard, Place
from tailored_llama.play.models import Player

P = ParamSpec("P")
T = TypeVar("T")

TITLE = "tailored_llama: one prompt, several models"


def build(players: Sequence[Player], data: Mapping[str, str], tasks: Sequence[str] = ()) -> gr.Blocks:
    """The page over `players`; nothing is served yet. `tasks` are offered with those whose rows are here.

    Raises TaskError where one of `tasks` is none.
    """
    first = questions.start(players, data, tasks)
    offered = questions.names(players, data, tasks)
    longest = min(player.context for player in players) - 1
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        known = gr.State(first.question if first.question.prompt else None)
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                prompt = gr.Textbox(
                    first.question.prompt, label="Prompt", lines=7, max_lines=14, elem_id="prompt",
                    placeholder="The same text goes to every model.",
                )  # fmt: skip
                choices = gr.Textbox(
                    first.question.lines, label="Choices, one a line", lines=3, max_lines=8,
                    elem_id="choices",
                    placeholder="Each gets its probability among them. Empty: text only.",
                )  # fmt: skip
            with gr.Column(scale=2, min_width=280):
                task = gr.Dropdown(
                    offered, value=first.task, allow_custom_value=True, label="Task",
                    elem_id="task", info="Or type the name of a bundled task.",
                )  # fmt: skip
                with gr.Row():
                    wording = gr.Dropdown(
                        questions.wordings(first.task), value=first.wording, label="Wording",
                        elem_id="wording", min_width=120,
                    )  # fmt: skip
                    row = gr.Number(
                        1, label="Row", precision=0, minimum=1, elem_id="row", min_width=90,
                    )  # fmt: skip
                take = gr.Button("Take this question", elem_id="take")
                new = gr.Slider(
                    1, min(256, longest), min(32, longest), step=1, label="Tokens to write", elem_id="new"
                )
        ask = gr.Button("Ask every model", variant="primary", elem_id="ask")
        out = gr.HTML(columns(players, None, {}), elem_id="answers")

        def worded(name: str) -> Any:
            task_name = _said(questions.on_page, name, offered)
            there = _said(questions.wordings, task_name)
            return gr.Dropdown(there, value=questions.wording_of(players, task_name))

        def taken(name: str, prompt_name: str | None, number: float | None) -> tuple[Any, str, str]:
            task_name = _said(questions.on_page, name, offered)
            found = _said(questions.question, task_name, prompt_name, number, data)
            return found, found.prompt, found.lines

        def answered(text: str, lines: str, amount: float, filled: Any) -> Iterator[str]:
            asked = _said(questions.asked, text, lines, filled)
            replies: dict[str, Reply] = {}
            yield columns(players, asked, replies)
            for player in players:
                replies[player.name] = _said(reply, player, asked, int(amount))
                yield columns(players, asked, replies)

        task.change(worded, task, wording, api_visibility="private")
        take.click(taken, [task, wording, row], [known, prompt, choices], api_visibility="private")
        ask.click(
            answered, [prompt, choices, new, known], out, api_visibility="private", show_progress="hidden"
        )
    return page


def application(page: gr.Blocks, place: Place) -> Guard:
    """The page as an ASGI application that answers requests to `place` alone."""
    css = (resources.files("tailored_llama.play") / "page.css").read_text(encoding="utf-8")
    plain, fixed = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    mounted = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None), page, path="/",
        server_name=place.host, server_port=place.port, root_path="", show_error=False, ssr_mode=False,
        theme=gr.themes.Base(primary_hue="blue", font=plain, font_mono=fixed), css=css,
        footer_links=[], run_history=False, pwa=False, enable_monitoring=False, mcp_server=False,
    )  # fmt: skip
    return Guard(mounted, place)


@contextmanager
def served(page: gr.Blocks, place: Place) -> Iterator[str]:
    """The page, served by a thread of its own while the block runs; gives the address to open.

    Raises OutputError where the server does not start.
    """
    config = uvicorn.Config(
        application(page, place), host=place.host, port=place.port, log_level="warning",
        proxy_headers=False, server_header=False, ws="none", timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise OutputError(f"{place.url} cannot be served; choose another port by --port")
            time.sleep(0.01)
        yield place.url
    finally:
        # The open pages hold event streams. uvicorn cuts them off and would log each as an error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        server.should_exit = True
        thread.join(timeout=5)


def _said(call: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """What `call` returns; a mistake of the user's is shown on the page, in its one line."""
    try:
        return call(*given, **named)
    except TailorError as error:
        raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from None
