"""Healing: what the unpruned model writes teaches the cut one, without a label."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tailored_llama import heal
from tailored_llama.checkpoint.lineage import one_after_another, what_was_cut
from tailored_llama.cli import execute
from tailored_llama.errors import RecipeError, TuneError
from tailored_llama.recipe import Tune, load_recipe
from tailored_llama.results import Cut, Parameters, PlanSource
from tailored_llama.stage import Store
from tailored_llama.stages.heal import stage as healing
from tailored_llama.stages.prune import make_plan, prune
from tailored_llama.training import teacher
from tests.support.healing import BRIEF, SHOTS, apart, healed


def test_the_student_expects_more_of_what_its_teacher_expects(
    base: Path, data: dict[str, str], unpruned: Path, tmp_path: Path
) -> None:  # fmt: skip
    out = healed(base, unpruned, data, out=tmp_path / "out")
    before, after, other = (AutoModelForCausalLM.from_pretrained(path) for path in (base, out, unpruned))
    assert apart(after, other) < 0.7 * apart(before, other)
    record = json.loads((out / "texts.json").read_text())
    assert record["texts"] == 40
    assert record["prompts"] == 8 * 5, "every wording of every shot"
    assert all(len(text.split()) > 1 for text in record["examples"])
    losses = [json.loads(line)["loss"] for line in (out / "history.jsonl").read_text().splitlines()]
    assert len(losses) == 8 * 5
    assert sum(losses[-5:]) < sum(losses[:5])


def test_a_complete_healing_is_not_done_again_and_the_teacher_is_asked_once(
    base: Path, data: dict[str, str], unpruned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    out = healed(base, unpruned, data, settings=BRIEF, out=Store(tmp_path).slot("out"))
    with monkeypatch.context() as patch:
        patch.setattr(healing, "fit", None)
        assert healed(base, unpruned, data, settings=BRIEF, out=tmp_path / "out") == out
    in_memory = healed(base, unpruned, data, settings=BRIEF).state_dict()
    for name, value in AutoModelForCausalLM.from_pretrained(out).state_dict().items():
        torch.testing.assert_close(in_memory[name], value, atol=1e-6, rtol=1e-5)
    monkeypatch.setattr(teacher, "distributions", None)
    healed(base, unpruned, data, settings=BRIEF, out=Store(tmp_path).slot("again"))
    weights = "model.safetensors"
    assert (out / weights).read_bytes() == (tmp_path / "again" / weights).read_bytes()


def test_no_answer_is_read(base: Path, data: dict[str, str], unpruned: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned"
    turned.mkdir()
    for split in ("train", "validation"):
        lines = (Path(data["boolq"]) / f"{split}.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        flipped = "".join(json.dumps({**row, "label": 1 - row["label"]}) + "\n" for row in rows)
        (turned / f"{split}.jsonl").write_text(flipped)
    every = Tune(shots=30, overlap="drop")  # which rows are drawn follows the labels; all of them do not
    first, other = (
        healed(base, unpruned, rows, settings=BRIEF, shots=every).state_dict()
        for rows in (data, {"boolq": str(turned)})
    )
    for name, value in first.items():
        assert torch.equal(value, other[name]), name


def test_each_round_has_text_of_its_own(
    base: Path, data: dict[str, str], unpruned: Path, tmp_path: Path
) -> None:  # fmt: skip
    texts = []
    for number in (1, 2):
        out = healed(base, unpruned, data, settings=BRIEF, number=number, out=tmp_path / str(number))
        texts.append(json.loads((out / "texts.json").read_text())["examples"])
    assert texts[0] != texts[1]


def test_a_model_is_no_better_for_healing_from_itself(base: Path, data: dict[str, str]) -> None:
    itself = AutoModelForCausalLM.from_pretrained(base)
    assert apart(healed(base, base, data), itself) < 0.01


def test_what_cannot_be_healed_is_one_line(
    base: Path, data: dict[str, str], unpruned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    with pytest.raises(TuneError, match="no task given"):
        heal(base, teacher=unpruned, tasks=[])
    with pytest.raises(TuneError, match="vocabulary differs"):
        heal(base, teacher="world", tasks=["boolq"], data=data, shots=SHOTS, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()
    with pytest.raises(RecipeError, match=r"recipe: heal\.rounds: prune\.trajectory: intermediate plans"):
        load_recipe({"model": "world", "prune": {"trajectory": [0.2]}, "heal": {"rounds": 2}})
    for prune_keys in ({"of": "units"}, {"units": ["layers"]}, {"floor": 0.5}):
        with pytest.raises(RecipeError, match=r"recipe: heal\.rounds: prune\.") as refused:
            load_recipe({"model": "world", "prune": prune_keys, "heal": {"rounds": 2}})
        assert len(str(refused.value)) < 200
    part = load_recipe({"model": "world", "heal": {"lora": {"r": 16}}}).heal
    assert part
    assert (part.lora.r, part.lora.alpha, part.lora.dropout) == (16, 64, 0)
    with pytest.raises(RecipeError, match="round"):
        load_recipe({"model": "world", "heal": {"round": 2}})
    command = ["heal", str(base), "--teacher", str(unpruned), "--tasks", "bolq", "--out", str(tmp_path / "y")]
    assert execute(command) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_plan_that_waits_beside_its_model_is_not_what_was_cut(base: Path, tmp_path: Path) -> None:
    model = shutil.copytree(base, tmp_path / "model")
    make_plan(model, ratio=0.2, criterion="l2").save(model / "plan.json")
    assert what_was_cut(model) is None
    small = prune(model, plan=model / "plan.json", out=tmp_path / "small")
    assert not (small / "cut.json").exists()
    smaller = prune(small, ratio=0.2, criterion="l2", out=tmp_path / "smaller")
    record, second = what_was_cut(smaller), json.loads((smaller / "plan.json").read_text())
    assert record is not None
    assert record.params is not None
    assert record.params.before > second["params"]["before"]
    assert record.ratio == pytest.approx(0.36)


def test_layers_that_go_in_two_cuts_are_told_by_their_first_numbers() -> None:
    first = Cut(
        source=PlanSource(model="m"), params=Parameters(before=100, after=80), settings={"ratio": 0.2},
        kept={"layers": [0, 2, 3, 5]},
    )  # fmt: skip
    then = Cut(source=PlanSource(model="x"), params=Parameters(before=80, after=60), settings={"ratio": 0.25})
    layers = {"kept": {"layers": [1, 3]}}
    assert one_after_another(first, then.model_copy(update=layers)).layers == [2, 5]
    assert one_after_another(first, then).layers == [0, 2, 3, 5]
    record = one_after_another(first.model_copy(update={"kept": {}}), then.model_copy(update=layers))
    assert record.layers == [1, 3]
    assert record.ratio == pytest.approx(0.4)
    assert record.to_json() == {
        "source": {"model": "m"}, "kept": {"layers": [1, 3]}, "params": {"before": 100, "after": 60},
        "settings": {"ratio": 0.4},
    }  # fmt: skip


def test_a_plan_of_another_program_is_no_cut(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"params": "many"}')
    assert what_was_cut(tmp_path) is None
