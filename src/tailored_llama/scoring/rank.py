"""Which wording a model answers best in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.scoring.choices import accuracy, margin, score
from tailored_llama.tasks import Row, Task


@dataclass(frozen=True)
class Effectiveness:
    """How well a model answers in one wording: share of right answers, mean margin of the right one."""

    prompt: str
    accuracy: float
    margin: float


def rank_prompts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, rows: Sequence[Row]
) -> list[Effectiveness]:
    """Every wording of `task` on `rows` (training rows, never scored ones), the most effective first.

    The order is by mean margin, as the task's metric normalises it, and by name where margins are equal.
    """
    ranking = []
    for name in task.prompts:
        scored = score(model, tokenizer, task.examples(name, rows), description=f"{task.name}: prompt {name}")
        ranking.append(Effectiveness(name, accuracy(scored, task.metric), margin(scored, task.metric)))
    return sorted(ranking, key=lambda entry: (-entry.margin, entry.prompt))
