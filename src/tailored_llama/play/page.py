"""The page itself: what is asked on the left, a task's questions on the right, every model's answer below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, ParamSpec, TypeVar

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware

from tailored_llama.errors import TailorError
from tailored_llama.play import questions
from tailored_llama.play.answers import Reply, columns, reply
from tailored_llama.play.models import Player

P = ParamSpec("P")
T = TypeVar("T")

TITLE = "tailored_llama: one prompt, several models"
ONLY_HERE = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self'; form-action 'self'"
)
"""What the browser may fetch (Content-Security-Policy): nothing but from this very server."""


def build(players: Sequence[Player], data: Mapping[str, str]) -> gr.Blocks:
    """The page over `players`; nothing is served yet."""
    first = questions.start(players, data)
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
                    questions.names(players, data), value=first.task, allow_custom_value=True, label="Task",
                    elem_id="task", info="Or type a name, or the path of a task's YAML.",
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
            there = _said(questions.wordings, name)
            return gr.Dropdown(there, value=questions.wording_of(players, name))

        def taken(name: str, prompt_name: str | None, number: float | None) -> tuple[Any, str, str]:
            found = _said(questions.question, name, prompt_name, number, data)
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


def serve(page: gr.Blocks, host: str, port: int) -> str:
    """Listen in a thread of its own, until the page is closed; the address to open."""
    css = (resources.files("tailored_llama.play") / "page.css").read_text(encoding="utf-8")
    plain, fixed = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    page.launch(
        server_name=host, server_port=port, share=False, inbrowser=False, prevent_thread_lock=True,
        quiet=True,
        theme=gr.themes.Base(primary_hue="blue", font=plain, font_mono=fixed), css=css,
        footer_links=[], ssr_mode=False, pwa=False, enable_monitoring=False,
        app_kwargs={"middleware": [Middleware(_OnlyHere)]},
    )  # fmt: skip
    return str(page.local_url)


class _OnlyHere:
    """Adds ONLY_HERE to every answer, so that not even a library's page reaches for another host."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["content-security-policy"] = ONLY_HERE
            await send(message)

        await self.app(scope, receive, with_policy)


def _said(call: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """What `call` returns; a mistake of the user's is shown on the page, in its one line."""
    try:
        return call(*given, **named)
    except TailorError as error:
        raise gr.Error(str(error), print_exception=False) from None
