"""The models and what they said, as the HTML of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from tailored_llama.memory import memory_for
from tailored_llama.play.models import Answer, Player
from tailored_llama.play.questions import Question
from tailored_llama.reporting.formatting import count, percent, size

TEMPLATE = "answers.html.jinja"


@dataclass(frozen=True)
class Reply:
    """One model's answer and, for each choice of the question, its probability among them."""

    answer: Answer
    probabilities: Sequence[float]


@memory_for("play", "lower the tokens to write, or name fewer models")
def reply(player: Player, asked: Question, new: int) -> Reply:
    """Ask one model."""
    answer = player.answer(asked.prompt, new)
    if not asked.choices:
        return Reply(answer, ())
    return Reply(answer, player.choose(asked.prompt, asked.choices, asked.delimiter, asked.metric))


def columns(players: Sequence[Player], asked: Question | None, replies: Mapping[str, Reply]) -> str:
    """A column for each model: what it is, and what it said as far as it has been asked."""
    first = players[0]
    shown = [
        {
            "name": player.name, "shots": player.shots, "params": count(player.params),
            "share": percent(player.params / first.params, 0), "weights": size(player.weight_bytes),
            "macs": count(player.macs), "is_first": player is first, "reply": replies.get(player.name),
            "bars": _bars(asked, replies.get(player.name)),
        }
        for player in players
    ]  # fmt: skip
    return _template().render(columns=shown, asked=asked)


def _bars(asked: Question | None, said: Reply | None) -> list[dict[str, Any]]:
    """What stands beside each choice: its share, whether it is the model's pick, whether it is right."""
    if asked is None or said is None or not said.probabilities:
        return []
    best = said.probabilities.index(max(said.probabilities))
    return [
        {"choice": choice, "share": value, "picked": index == best, "right": index == asked.gold}
        for index, (choice, value) in enumerate(zip(asked.choices, said.probabilities, strict=True))
    ]


@lru_cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent}
    return environment.from_string(
        (resources.files("tailored_llama.play") / TEMPLATE).read_text(encoding="utf-8")
    )
