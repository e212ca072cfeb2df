"""Which rows are the shots, and in which words they are put."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.errors import DataError
from tailored_llama.recipe import Tune
from tailored_llama.scoring import rank_prompts
from tailored_llama.tasks import Example, Row, Task
from tailored_llama.tasks.fewshot import Shots, draw

AUTO = "auto"


@dataclass(frozen=True)
class Chosen:
    """The shots in the chosen wording, and what `shots.json` says about the choice."""

    examples: list[Example]
    record: dict[str, Any]


def choose(
    model: Callable[[], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    settings: Tune,
    *,
    seed: int,
    data: Path | str | None,
) -> Chosen:
    """Draw the shots from the train split and settle the prompt: the named one, or with `auto` the most
    effective on these very shots, for which `model` is asked for. The scored split serves only to keep its
    rows out of the shots.
    """
    if settings.prompt != AUTO:
        task.prompt(settings.prompt)  # a misspelt prompt is said before rows are fetched
    drawn = draw(task, task.rows("train", data), settings.shots, seed, scored=scored_rows(task, data))
    candidates: list[dict[str, Any]] = []
    prompt = settings.prompt
    if prompt == AUTO:
        ranking = rank_prompts(model(), tokenizer, task, drawn.rows, seed=seed)
        candidates = [asdict(entry) for entry in ranking.wordings]
        prompt = candidates[0]["prompt"]
    examples = [task.render(prompt, row, index) for row, index in zip(drawn.rows, drawn.indices, strict=True)]
    return Chosen(examples, _record(task, settings, seed, drawn, prompt, candidates, examples))


def scored_rows(task: Task, data: Path | str | None) -> Sequence[Row]:
    try:
        return task.rows("scored", data)
    except DataError:
        return ()  # a task may be tuned where it is never scored; evaluation will say what is missing


def _record(
    task: Task, settings: Tune, seed: int, drawn: Shots, prompt: str,
    candidates: list[dict[str, Any]], examples: list[Example],
) -> dict[str, Any]:  # fmt: skip
    first = examples[0]
    return {
        "task": task.name,
        "prompt": prompt,
        "asked": settings.prompt,
        "candidates": candidates,
        "seed": seed,
        "split": "train",
        "rows": drawn.indices,
        "labels": [example.gold for example in examples],
        "in_scored_split": drawn.dropped,
        "example": {"context": first.context, "answer": first.answer},
    }
