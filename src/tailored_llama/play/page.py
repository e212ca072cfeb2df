"""The page: prompt on the left, a task's questions on the right, the models' answers below."""

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
    """The page for `players`, not yet served. It offers `tasks` and tasks whose rows are available locally.

    Raises TaskError if one of `tasks` is not a task.
    """
    first = questions.start(players, data, tasks)
    offered = questions.names(players, data, tasks)
    longest = min(player.context for player in players) - 1
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        filled_question = gr.State(first.question if first.question.prompt else None)
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                prompt = gr.Textbox(
                    first.question.prompt, label="Prompt", lines=7, max_lines=14, elem_id="prompt",
                    placeholder="The same text goes to every model.",
                )  # fmt: skip
                choices = gr.Textbox(
                    first.question.lines, label="Choices, one per line", lines=3, max_lines=8,
                    elem_id="choices",
                    placeholder="Each gets a probability. Empty: text only.",
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
                take = gr.Button("Load this question", elem_id="take")
                new = gr.Slider(
                    1, min(256, longest), min(32, longest), step=1, label="New tokens", elem_id="new"
                )
        ask = gr.Button("Ask every model", variant="primary", elem_id="ask")
        out = gr.HTML(columns(players, None, {}), elem_id="answers")

        def update_wordings(name: str) -> Any:
            task_name = _with_errors_shown(questions.on_page, name, offered)
            names = _with_errors_shown(questions.wordings, task_name)
            return gr.Dropdown(names, value=questions.wording_of(players, task_name))

        def load_question(name: str, prompt_name: str | None, number: float | None) -> tuple[Any, str, str]:
            task_name = _with_errors_shown(questions.on_page, name, offered)
            question = _with_errors_shown(questions.question, task_name, prompt_name, number, data)
            return question, question.prompt, question.lines

        def answer(text: str, lines: str, amount: float, filled: Any) -> Iterator[str]:
            question = _with_errors_shown(questions.typed, text, lines, filled)
            replies: dict[str, Reply] = {}
            yield columns(players, question, replies)
            for player in players:
                replies[player.name] = _with_errors_shown(reply, player, question, int(amount))
                yield columns(players, question, replies)

        task.change(update_wordings, task, wording, api_visibility="private")
        take.click(
            load_question, [task, wording, row], [filled_question, prompt, choices], api_visibility="private"
        )
        ask.click(
            answer,
            [prompt, choices, new, filled_question],
            out,
            api_visibility="private",
            show_progress="hidden",
        )
    return page


def application(page: gr.Blocks, place: Place) -> Guard:
    """The page as an ASGI application that answers only requests to `place`."""
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
    """Serve the page in a separate thread inside the block; yields the address to open.

    Raises OutputError if the server does not start.
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
                raise OutputError(f"{place.url} cannot be served; choose another port with --port")
            time.sleep(0.01)
        yield place.url
    finally:
        # Open pages keep event streams; uvicorn would log an error for each that it closes.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        server.should_exit = True
        thread.join(timeout=5)


def _with_errors_shown(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `call`; a TailorError is shown on the page as one line."""
    try:
        return call(*args, **kwargs)
    except TailorError as error:
        raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from None
