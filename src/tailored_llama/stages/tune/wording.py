"""The choice of the shots and their wording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Example, Row, Task
from tailored_llama.data.shots import ALL, AUTO, Shots, candidates, draw_shots, in_turn
from tailored_llama.recipe import Tune
from tailored_llama.results import ShotExample, ShotsRecord
from tailored_llama.scoring import Ranking, rank_prompts
from tailored_llama.scoring.rank import rank
from tailored_llama.stages.tune.cross_validation import cross_validate


@dataclass(frozen=True)
class Chosen:
    """The shots as each epoch trains them, in turn, and the content of `shots.json`."""

    rounds: list[list[Example]]
    record: ShotsRecord


def choose(
    model: Callable[[], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    settings: Tune,
    *,
    seed: int,
    data: Path | str | None,
) -> Chosen:
    """Draw the shots from the train split and choose the prompt: the named one, or with `auto` and `all` the
    most effective on these shots, for which `model` is loaded (and not changed). With `all` the shots are
    rendered in every prompt in turn (`in_turn`). The scored split is only used to exclude its rows from the
    shots.
    """
    candidates(task, settings.prompt)  # report a misspelt prompt before rows are loaded
    drawn = draw_shots(task, settings, seed=seed, data=data)
    ranking: Ranking | None = None
    prompt = settings.prompt
    if prompt in (AUTO, ALL):
        ranking = ranked(model(), tokenizer, task, drawn.rows, settings, seed=seed)
        prompt = ranking.wordings[0].prompt
    examples = task.examples(prompt, drawn.rows)
    record = _record(task, settings, seed, drawn, prompt, ranking, examples)
    if settings.prompt != ALL:
        return Chosen([examples], record)
    by_wording = {name: task.examples(name, drawn.rows) for name in task.prompts}
    rounds = in_turn([e.gold for e in examples], list(task.prompts), seed, settings.epochs)
    rendered = [[by_wording[name][place] for place, name in enumerate(names)] for names in rounds]
    return Chosen(rendered, record.model_copy(update={"wordings": list(task.prompts)}))


def ranked(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    rows: Sequence[Row],
    settings: Tune,
    *,
    seed: int,
) -> Ranking:
    """Rank the wordings of `task` on the shots `rows`, the most effective first: scored by the untuned model,
    or with `settings.auto: tuned` by cross-validation with the model tuned in that wording on the other half
    of the shots.
    """
    if settings.auto == "untuned":
        return rank_prompts(model, tokenizer, task, rows, seed=seed)
    held_out = {
        name: cross_validate(model, tokenizer, task, task.examples(name, rows), settings, seed=seed).own
        for name in sorted(task.prompts)
    }
    return rank(held_out, seed)


def _record(
    task: Task, settings: Tune, seed: int, drawn: Shots, prompt: str, ranking: Ranking | None,
    examples: list[Example],
) -> ShotsRecord:  # fmt: skip
    first = examples[0]
    return ShotsRecord(
        task=task.name,
        prompt=prompt,
        asked=settings.prompt,
        compared=settings.auto if ranking else None,
        candidates=list(ranking.wordings) if ranking else [],
        held_out=ranking.held_out if ranking else None,
        seed=seed,
        split="train",
        select=settings.select,
        rows=drawn.indices,
        labels=[example.gold for example in examples],
        unseen_labels=list(drawn.unseen),
        in_scored_split=drawn.dropped,
        example=ShotExample(context=first.context, answer=first.answer),
    )
