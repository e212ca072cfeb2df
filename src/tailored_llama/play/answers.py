"""The answers of the models as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tailored_llama.memory import memory_for
from tailored_llama.play.models import Answer, Player
from tailored_llama.play.questions import Question
from tailored_llama.reporting.formatting import count, percent, size
from tailored_llama.reporting.templating import render


@dataclass(frozen=True)
class Reply:
    """One model's answer and, for each choice of the question, its probability among them."""

    answer: Answer
    probabilities: Sequence[float]


@memory_for("play", "lower the number of new tokens, or name fewer models")
def reply(player: Player, question: Question, new: int) -> Reply:
    """The answer of one model to `question`, with at most `new` tokens."""
    answer = player.answer(question.prompt, new)
    if not question.choices:
        return Reply(answer, ())
    return Reply(
        answer, player.choose(question.prompt, question.choices, question.delimiter, question.metric)
    )


def columns(players: Sequence[Player], question: Question | None, replies: Mapping[str, Reply]) -> str:
    """A column for each model: its description, and its reply if there is one yet."""
    first = players[0]
    models = [
        {
            "name": player.name, "shots": player.shots, "params": count(player.params),
            "share": percent(player.params / first.params, 0), "weights": size(player.weight_bytes),
            "macs": count(player.macs), "is_first": player is first, "reply": replies.get(player.name),
            "bars": _bars(question, replies.get(player.name)),
        }
        for player in players
    ]  # fmt: skip
    return render("answers", "tailored_llama.play", columns=models, question=question)


def _bars(question: Question | None, reply: Reply | None) -> list[dict[str, Any]]:
    """The bar of each choice: its probability, whether the model selects it, whether it is correct."""
    if question is None or reply is None or not reply.probabilities:
        return []
    best = reply.probabilities.index(max(reply.probabilities))
    return [
        {"choice": choice, "share": value, "picked": index == best, "right": index == question.gold}
        for index, (choice, value) in enumerate(zip(question.choices, reply.probabilities, strict=True))
    ]
