"""`tune.prompt: all`: every wording in turn, by seed, so that no wording tells the label."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.data import load_task
from tailored_llama.data.shots import in_turn
from tailored_llama.errors import TaskError
from tailored_llama.recipe import Tune
from tailored_llama.results import ShotsRecord
from tailored_llama.stages.tune import chosen_prompt, tune
from tailored_llama.stages.tune import stage as stages
from tailored_llama.stages.tune.wording import choose
from tailored_llama.training.batches import Material, windows
from tailored_llama.training.epochs import epochs
from tests.support.pico import saved, worded
from tests.support.tasks import ROWS, write_split
from tests.support.tokenizers import tokenizer

SETTINGS = Tune(shots=8, epochs=3, batch_size=4, precision="fp32", prompt="all", learning_rate=0.01)
PROMPTS = list(load_task("boolq").prompts)


@pytest.fixture
def data(tmp_path: Path) -> dict[str, str]:
    for split in ("train", "validation"):
        rows = [ROWS["boolq"] | {"passage": f"{split} {i}.", "label": i % 2} for i in range(12)]
        write_split(tmp_path / "boolq", split, rows)
    return {"boolq": str(tmp_path / "boolq")}


@pytest.mark.parametrize("wordings", [2, 4, 5])
def test_every_shot_takes_every_wording_and_no_wording_tells_the_label(wordings: int) -> None:
    labels, names = [0, 1] * 10, [f"w{i}" for i in range(wordings)]
    rounds = in_turn(labels, names, 3, 9)
    assert len(rounds) == wordings
    assert all(sorted(own) == names for own in zip(*rounds, strict=True))
    for one in rounds:
        both = [Counter(n for n, label in zip(one, labels, strict=True) if label == own) for own in (0, 1)]
        assert both[0] == both[1]
        assert set(both[0]) == set(names)
    assert in_turn(labels, names, 3, 9) == rounds
    assert any(in_turn(labels, names, seed, 9) != rounds for seed in range(4))
    assert in_turn(labels, names, 3, 1) == rounds[:1]


def test_epochs_take_the_rounds_in_turn() -> None:
    shots = [windows([[number, number + 1]]) for number in (10, 20, 30)]
    material = Material(shots[0], rounds=shots[1:])
    seen = [step[0].ids[0, 0].item() for steps in epochs(material, 4, 5, 0) for step in steps]
    assert seen == [10, 20, 30, 10, 20]


def test_the_shots_of_an_epoch_are_the_same_rows_in_other_wordings(data: dict[str, str]) -> None:
    task = load_task("boolq")
    chosen = choose(worded, tokenizer(), task, SETTINGS, seed=1, data=data["boolq"])
    assert [len(examples) for examples in chosen.rounds] == [8, 8, 8]
    for shot in zip(*chosen.rounds, strict=True):
        assert len({(example.row, example.gold) for example in shot}) == 1
        assert len({example.context for example in shot}) == 3
    record = chosen.record
    assert (record.asked, record.wordings) == ("all", PROMPTS)
    auto = SETTINGS.model_copy(update={"prompt": "auto"})
    alone = choose(worded, tokenizer(), task, auto, seed=1, data=data["boolq"]).record
    assert (record.prompt, record.rows, record.candidates) == (alone.prompt, alone.rows, alone.candidates)
    assert alone.wordings == []


def test_a_tuned_directory_holds_what_was_trained(data: dict[str, str], tmp_path: Path) -> None:
    base = saved(worded(), tmp_path / "base", tokenizer())
    made = [
        tune(base, task="boolq", settings=SETTINGS, data=data, seed=1, out=tmp_path / name, merge=False)
        for name in ("one", "two")
    ]
    adapters = [(out / "adapter" / "adapter_model.safetensors").read_bytes() for out in made]
    assert adapters[0] == adapters[1]
    record = json.loads((made[0] / ShotsRecord.file).read_text())
    assert record["wordings"] == PROMPTS
    assert chosen_prompt(made[0]) == record["prompt"] in PROMPTS
    named = SETTINGS.model_copy(update={"prompt": record["prompt"]})
    other = tune(base, task="boolq", settings=named, data=data, seed=1, out=tmp_path / "named", merge=False)
    assert (other / "adapter" / "adapter_model.safetensors").read_bytes() != adapters[0]
    assert "wordings" not in json.loads((other / ShotsRecord.file).read_text())


def test_held_out_shots_are_held_out_of_every_wording_and_the_teacher_sees_all(
    data: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[Material] = []
    original = stages.fit

    def spy(model: Any, material: Material, *rest: Any, **named: Any) -> Any:
        caught.append(material)
        return original(model, material, *rest, **named)

    monkeypatch.setattr(stages, "fit", spy)
    tune(
        worded(), task="boolq", settings=SETTINGS, data=data, seed=1, tokenizer=tokenizer(), teacher=worded(),
        loss=["answer", "distill"], early_stop={"share": 0.25, "patience": 3},
    )  # fmt: skip
    (material,) = caught
    assert [len(shots) for shots in (material.shots, *material.rounds)] == [6, 6, 6]
    assert len(material.held) == 2
    rows = [[shot.choices[0].question for shot in shots] for shots in (material.shots, *material.rounds)]
    assert rows[0] == rows[1] == rows[2]
    assert not {shot.choices[0].question for shot in material.held} & set(rows[0])
    for shots in (material.shots, *material.rounds):
        for shot in shots:
            assert shot.teacher is not None
            assert len(shot.teacher.logprobs) == shot.reads


def test_no_prompt_of_a_task_may_be_called_so(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("extends: boolq\nprompts:\n  all: {context: '{{question}}'}\n")
    with pytest.raises(TaskError, match=r"prompts\.all: tune\.prompt: all has a meaning"):
        load_task(tmp_path / "own.yaml")
