"""Choosing a wording by tuning on halves of the shots: as a plain tuning, and the model stays as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tailored_llama.cli import execute
from tailored_llama.data import Task, load_task
from tailored_llama.errors import DataError
from tailored_llama.recipe import Tune
from tailored_llama.scoring import context_length, outcomes
from tailored_llama.stages.tune import cross_validation as crossval
from tailored_llama.stages.tune import rank_wordings, tune
from tailored_llama.training.batches import Material, encode
from tailored_llama.training.loop import fit
from tailored_llama.training.lora import attach
from tests.support.pico import worded
from tests.support.tasks import ROWS, choice_task, write_split
from tests.support.tokenizers import tokenizer

SETTINGS = Tune(shots=8, epochs=2, batch_size=4, learning_rate=0.01, precision="fp32", auto="tuned")


@pytest.fixture
def data(tmp_path: Path) -> dict[str, str]:
    for split in ("train", "validation"):
        rows = [ROWS["boolq"] | {"passage": f"{split} {i}.", "label": i % 2} for i in range(12)]
        write_split(tmp_path / "boolq", split, rows)
    return {"boolq": str(tmp_path / "boolq")}


def task() -> Task:
    return load_task("boolq")


def test_each_half_is_asked_of_a_plain_tuning_on_the_other(data: dict[str, str]) -> None:
    model, words = worded(), tokenizer()
    examples = task().examples("cloze", task().rows("train", data["boolq"])[:8])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = load_task("piqa").examples("paper", [ROWS["piqa"]])
    found = crossval.cross_validate(
        model, words, task(), examples, SETTINGS, seed=3, others=[(load_task("piqa"), other)]
    )
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    halves = crossval.split(examples)
    for place, (taught, held) in enumerate((halves, halves[::-1])):
        plain = worded()
        torch.manual_seed(3)
        attach(plain, SETTINGS.lora)
        shots = encode(words, [examples[i] for i in taught], context_length(plain), None)
        fit(plain, Material(shots), SETTINGS, seed=3)
        requested = outcomes(plain.eval(), words, task(), [examples[i] for i in held], description="")
        assert [found.own[i] for i in held] == requested
        expected = outcomes(plain, words, load_task("piqa"), other, description="")
        assert found.others[0][place] == expected


def test_the_winner_is_tuned_as_if_it_had_been_named(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"prompt": "auto", "shots": 4})
    own = choice_task(tmp_path / "own")
    requested = {"task": own, "tokenizer": tokenizer(), "merge": False}
    tune(worded(), settings=settings, out=tmp_path / "auto", **requested)  # type: ignore[arg-type]
    record = json.loads((tmp_path / "auto" / "shots.json").read_text())
    best = record["candidates"][0]
    assert (record["prompt"], record["compared"], record["asked"]) == (best["prompt"], "tuned", "auto")
    named = settings.model_copy(update={"prompt": best["prompt"]})
    tune(worded(), settings=named, out=tmp_path / "named", **requested)  # type: ignore[arg-type]
    one, other = (tmp_path / name / "adapter" / "adapter_model.safetensors" for name in ("auto", "named"))
    assert one.read_bytes() == other.read_bytes()
    ranking = rank_wordings(worded(), task=own, settings=settings, tokenizer=tokenizer())
    assert [entry.prompt for entry in ranking.wordings] == [c["prompt"] for c in record["candidates"]]
    assert best["accuracy"] == ranking.wordings[0].accuracy


def test_one_shot_has_no_halves(data: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"task boolq: .* needs two or more shots; raise tune\.shots"):
        rank_wordings(
            worded(), task="boolq", settings=SETTINGS.model_copy(update={"shots": 1}), data=data,
            tokenizer=tokenizer(),
        )  # fmt: skip


def test_the_command_says_which(
    data: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    worded().save_pretrained(model)
    tokenizer().save_pretrained(model)
    command = [
        "prompts",
        "rank",
        str(model),
        "boolq",
        "--shots",
        "4",
        "--set",
        f"data={{boolq: {data['boolq']}}}",
    ]
    assert execute(command) == 0
    assert capsys.readouterr().out.startswith("Before any tuning\n")
    assert execute([*command, "--set", "tune.auto=tuned", "--set", "tune.epochs=1"]) == 0
    assert capsys.readouterr().out.startswith("Two-fold cross-validation")
