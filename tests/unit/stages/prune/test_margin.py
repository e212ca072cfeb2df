"""The objective `margin`: the walk against autograd of the margin as a whole model computes it."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from tailored_llama import checkpoint, families
from tailored_llama.checkpoint import ModelWeights
from tailored_llama.data import Example, load_task
from tailored_llama.errors import DataError, RecipeError
from tailored_llama.recipe import Prune
from tailored_llama.scoring import Request, score
from tailored_llama.stages.prune import make_plan
from tailored_llama.stages.prune import walk as walk_module
from tailored_llama.stages.prune.calibration import Source
from tailored_llama.stages.prune.margin import ChoiceMargin, Question, questions
from tailored_llama.stages.prune.scores import channel_scores
from tailored_llama.stages.prune.walk import Walk
from tests.support.double import InDouble, close
from tests.support.pico import config_of, model_of, pico_config

TASK = {"source": "task", "samples": 6}


def random_questions(count: int = 5, seed: int = 0) -> list[Question]:
    """Questions of random tokens, with 2 to 4 choices of 1 to 3 tokens."""
    dice = random.Random(seed)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(dice.randrange(40) for _ in range(length))

    found = []
    for question in range(count):
        context, choices = ids(dice.randint(1, 6)), dice.randint(2, 4)
        answers = [ids(dice.randint(1, 3)) for _ in range(choices)]
        requests = tuple(
            Request(question, i, (*context, *answer)[:-1], answer, False) for i, answer in enumerate(answers)
        )
        lengths = tuple(float(dice.randint(1, 9)) for _ in answers)
        found.append(Question(requests, lengths, dice.randrange(choices)))
    return found


def margin(model: Any, question: Question) -> Tensor:
    """Gold minus best wrong, choice by choice, by the whole model."""
    values = []
    for choice, length in zip(question.choices, question.lengths, strict=True):
        logits = model(torch.tensor([choice.ids])).logits[0].log_softmax(dim=-1)
        places = range(len(choice.ids) - len(choice.answer), len(choice.ids))
        values.append(sum(logits[p, t] for p, t in zip(places, choice.answer, strict=True)) / length)
    gold = values.pop(question.gold)
    return gold - torch.stack(values).max()


def matrices(config: Any) -> list[str]:
    return [s.tensor for group in families.groups(config) for s in group.slices if s.scored]


@pytest.mark.parametrize("case", ["llama", "phi3", "gemma2", "qwen3 with windows"])
@InDouble()
def test_walk_equals_autograd_of_the_margin(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, own = model_of(pico_config(case)).double(), random_questions()
    names = [*dict.fromkeys(matrices(model.config)), "model.norm.weight", "model.embed_tokens.weight"]
    each = [-margin(model, question) for question in own]
    parameters = [model.get_parameter(name) for name in names]
    apart = [torch.autograd.grad(value, parameters) for value in each]
    for per_sample, at_once in ((False, 20), (True, 1024)):
        monkeypatch.setattr(walk_module, "TOKENS_AT_ONCE", at_once)
        found: dict[str, Any] = {}
        walk = Walk(ModelWeights(model), ChoiceMargin(own), names, per_sample=per_sample)
        loss = walk.gradients(lambda name, weight, *gradients, to=found: to.update({name: gradients}))
        assert loss == pytest.approx(float(sum(each).detach()) / len(own), rel=1e-12)
        for index, name in enumerate(names):
            stacked = torch.stack([gradients[index] for gradients in apart])
            for ours, theirs in zip(found[name], (stacked.mean(0), stacked.square().mean(0)), strict=True):
                if ours is not None:
                    close(ours, theirs)
            assert (found[name][1] is not None) == per_sample


def world() -> tuple[Any, Any]:
    return checkpoint.load_model("world"), checkpoint.load_tokenizer("world")


@pytest.mark.parametrize("name", ["world_boolq", "world_winogrande", "world_arc_challenge"])
def test_margin_is_of_the_scores_of_the_task(name: str) -> None:
    """By its main metric, in every form of question, as the scorer has them."""
    model, tokenizer = world()
    task = load_task(name)
    examples = task.examples("harness", task.rows("train")[:12])
    own = questions(tokenizer, examples, task.metric, 256)
    walk = Walk(ModelWeights(model), ChoiceMargin(own), ["model.norm.weight"])
    loss = walk.gradients(lambda *_: None)
    margins = []
    for scored in score(model, tokenizer, examples):
        values = scored.values(task.metric)
        margins.append(values.pop(scored.gold) - max(values))
    assert -loss == pytest.approx(sum(margins) / len(margins), rel=1e-4)


@pytest.mark.parametrize("criterion", ["taylor", "taylor_vector", "taylor_second", "taylor_mix"])
def test_plans_with_every_gradient_criterion(criterion: str) -> None:
    how: dict[str, Any] = {
        "ratio": 0.3, "of": "units", "layers": (2, 4), "criterion": criterion,
        "calibration": {"source": "task", "samples": 2},
    }  # fmt: skip
    margin, other, *again = (
        make_plan("world", tasks=["world_piqa", "world_boolq"], objective=objective, **how)
        for objective in ("margin", "lm", *(["margin"] if criterion == "taylor" else []))
    )
    assert margin.kept != other.kept
    assert all(plan.kept == margin.kept for plan in again)
    assert margin.settings["objective"] == "margin"


def source(**more: Any) -> Source:
    wanted: dict[str, Any] = {"objective": "margin", "calibration": TASK}
    tasks = more.pop("tasks", ["world_piqa"])
    tokens = more.pop("tokens", None)
    return Source(Prune.model_validate({**wanted, **more}), 42, tasks, {}, tokens, None)


def test_the_shots_are_those_of_tuning() -> None:
    from tailored_llama.data.shots import draw

    weights = checkpoint.open_weights("world")
    task = load_task("world_piqa")
    shots = draw(task, task.rows("train"), 6, 42, scored=task.rows("scored"))
    objective = source(calibration={"source": "task", "samples": 6}).text(weights)
    assert isinstance(objective, ChoiceMargin)
    assert sorted(q.gold for q in objective.questions) == sorted(task.label(row) for row in shots.rows)
    assert objective.samples == 6


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [({"criterion": "wanda"}, RecipeError, "wanda has none"),
     ({"calibration": {"source": "world"}}, RecipeError, r"\(source world\) has none; set prune\.cal"),
     ({"tokens": torch.zeros(2, 3, dtype=torch.long)}, RecipeError, r"\(token ids\) has none"),
     ({"tasks": []}, DataError, "the recipe has no tasks"),
     ({"tasks": ["world_tell"]}, DataError, "answers of task world_tell are generated"),
     ({"calibration": {"source": "task", "samples": 10**6}}, DataError, "1000000 shots requested")],
)  # fmt: skip
def test_what_has_no_choices(more: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        source(**more).text(checkpoint.open_weights("world"))


def test_a_question_of_one_choice() -> None:
    with pytest.raises(DataError, match="row 3 has only one"):
        questions(checkpoint.load_tokenizer("world"), [Example(("a",), (" b",), 0, 3)], "acc", 64)


def test_scores_follow_the_objective() -> None:
    """The gradient of half the questions' margin is not that of all."""
    model = model_of(config_of())
    own = random_questions(6)
    one, other = (
        channel_scores(ModelWeights(model), Prune(), ChoiceMargin(part), seed=0) for part in (own, own[:3])
    )
    assert not torch.allclose(one["mlp", 0], other["mlp", 0])
