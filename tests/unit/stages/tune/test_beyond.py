"""The teacher's outputs on the disk, held-out shots, replay, and other adapters than plain LoRA."""

from __future__ import annotations

import gc
import json
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM, PreTrainedModel

from tailored_llama import checkpoint, tune
from tailored_llama.checkpoint import load_tuned
from tailored_llama.cli import execute
from tailored_llama.errors import DataError, TuneError
from tailored_llama.recipe import EarlyStop, Lora, Tune
from tailored_llama.stage import Store
from tailored_llama.stages.tune import chosen_prompt
from tailored_llama.stages.tune import stage as job
from tailored_llama.training import loop as trainer
from tailored_llama.training import teacher
from tailored_llama.training.batches import Material, windows
from tailored_llama.training.epochs import epochs
from tailored_llama.training.lora import attach
from tailored_llama.training.replay import hold_out
from tests.support.pico import fresh
from tests.support.shots import shots_of, with_teacher
from tests.support.tuning import QUICK, WORDS

DISTILL = {**QUICK, "loss": ["answer", "distill"], "distill": {"texts": 6, "length": 4}}


@pytest.fixture(scope="module")
def unpruned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model of the same words."""
    out = tmp_path_factory.mktemp("teacher") / "pico"
    model = LlamaForCausalLM.from_pretrained(base)
    torch.manual_seed(7)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(out)
    checkpoint.load_tokenizer(base).save_pretrained(str(out))
    return out


def history(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


def test_the_teacher_is_asked_once_and_never_beside_its_student(
    base: Path, data: dict[str, str], unpruned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    loaded: list[tuple[str, weakref.ref[PreTrainedModel]]] = []
    load = checkpoint.load_model

    def watched(model: Any, **more: Any) -> PreTrainedModel:
        gc.collect()  # of what is new: pytest's conftest has frozen what was imported
        assert not [name for name, reference in loaded if reference() is not None]
        found = load(model, **more)
        loaded.append((str(getattr(model, "directory", model)), weakref.ref(found)))
        return found

    monkeypatch.setattr(checkpoint, "load_model", watched)
    chosen = {**DISTILL, "prompt": "auto", "shots": 4, "epochs": 1}
    arguments = {**chosen, "merge": False, "data": data, "teacher": unpruned}
    store = Store(tmp_path)  # which keeps what the teacher said until it is released
    out = tune(base, task="boolq", out=store.slot("a"), **arguments)
    assert [name for name, _ in loaded] == [str(base), str(unpruned), str(base)]
    (cache,) = tmp_path.glob("teacher-*")
    first = history(out)[0]
    assert first["loss"] == pytest.approx(sum(first["parts"].values()))
    assert first["parts"].keys() == {"answer", "distill"}

    loaded.clear()
    again = tune(base, task="boolq", out=store.slot("b"), **arguments)
    assert [name for name, _ in loaded] == [str(base), str(base)], "what it said was on the disk"
    weights = "adapter/adapter_model.safetensors"
    assert (out / weights).read_bytes() == (again / weights).read_bytes()

    (cache / "manifest.json").unlink()
    (cache / teacher.FILE).unlink()
    arguments["prompt"] = chosen_prompt(out)  # the same tuning without choosing again
    tune(base, task="boolq", out=store.slot("c"), **arguments)
    assert (out / weights).read_bytes() == (tmp_path / "c" / weights).read_bytes(), "asked anew, the same"
    in_memory = tune(base, task="boolq", **{**arguments, "merge": True})
    kept = load_tuned(base, out).merge_and_unload()
    for name, value in kept.state_dict().items():
        torch.testing.assert_close(in_memory.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_a_tuning_that_is_stopped_goes_on_with_what_the_teacher_said(
    base: Path, data: dict[str, str], unpruned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    fit = job.fit
    monkeypatch.setattr(job, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(base, task="boolq", data=data, teacher=unpruned, out=tmp_path / "out", **DISTILL)
    assert [path.name[:8] for path in tmp_path.iterdir()] == ["teacher-"]
    monkeypatch.setattr(job, "fit", fit)
    monkeypatch.setattr(teacher, "distributions", None)
    tune(base, task="boolq", data=data, teacher=unpruned, out=tmp_path / "out", **DISTILL)
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing is kept once it is complete"


def test_distilling_brings_the_student_nearer_to_its_teacher(
    base: Path, data: dict[str, str], unpruned: Path
) -> None:  # fmt: skip
    chosen = {**DISTILL, "loss": "distill", "epochs": 12}
    tuned = tune(base, task="boolq", data=data, teacher=unpruned, **chosen)
    ids = torch.tensor([[0, 3, 9, 12, 13, 8, 10, 2, 4, 8, 9, 13, 10]])
    with torch.no_grad():
        goal, before, after = (
            model(ids).logits.log_softmax(-1)
            for model in (*map(AutoModelForCausalLM.from_pretrained, (unpruned, base)), tuned)
        )

    def apart(one: torch.Tensor) -> float:
        return float((goal.exp() * (goal - one)).sum(-1).mean())

    assert apart(after) < 0.9 * apart(before)


def test_a_loss_without_what_it_needs_is_said(
    base: Path, data: dict[str, str], unpruned: Path, tmp_path: Path
) -> None:  # fmt: skip
    with pytest.raises(TuneError, match=r"distill needs the unpruned model; name it: --teacher"):
        tune(base, task="boolq", data=data, out=tmp_path / "out", **DISTILL)
    with pytest.raises(TuneError, match="its vocabulary differs from the student"):
        tune(base, task="boolq", data=data, teacher=fresh(), **DISTILL)
    with pytest.raises(DataError, match=r"tune\.early_stop: 1 of 1 shots held out leaves none"):
        tune(base, task="boolq", data=data, **{**QUICK, "shots": 1, "early_stop": {"share": 0.5}})
    (tmp_path / "short.txt").write_text("the red box")
    with pytest.raises(DataError, match=r"tune\.replay: calibration .* too short for"):
        tune(base, task="boolq", data=data, replay={"source": str(tmp_path / "short.txt")}, **QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["short.txt"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tune.loss=rank", "unknown loss 'rank'; known: answer, choice, distill"),
        ("tune.loss=[]", "name a loss, a list of losses, or losses with their weights"),
        ("tune.loss={answer: -1}", "tune.loss.answer"),
        ("tune.lora.targets=[]", "tune.lora.targets"),
        ("tune.replay={source: world, share: 1.5}", "tune.replay.share"),
        ("tune.early_stop={patience: 0}", "tune.early_stop.patience"),
        ("tune.loss=distill", "--teacher DIR"),
    ],
)
def test_bad_settings_are_one_line_and_leave_nothing(
    setting: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert execute(["tune", "world", "--task", "world_boolq", "--out", str(out), "--set", setting]) == 2
    output = capsys.readouterr().err.strip()
    assert message in output
    assert "\n" not in output
    assert not out.exists()


def test_losses_are_read_from_a_name_a_list_or_weights() -> None:
    assert Tune(loss="choice").loss == {"choice": 1.0}
    assert Tune(loss=["answer", "distill"]).loss == {"answer": 1.0, "distill": 1.0}
    assert Tune(loss={"answer": 0.5}).loss == {"answer": 0.5}
    assert Tune(**Tune(loss="choice").model_dump()) == Tune(loss="choice")


def test_held_out_shots_are_a_share_of_every_label_and_not_trained_on(
    base: Path, data: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    seen: list[Material] = []
    fit = trainer.fit
    monkeypatch.setattr(
        job, "fit", lambda model, given, *a, **k: seen.append(given) or fit(model, given, *a, **k)
    )
    for loss in ("choice", "answer"):
        tune(base, task="boolq", data=data, **{**QUICK, "loss": loss, "early_stop": {"share": 0.5}})
        given = seen.pop()
        answers = Counter(shot.choices[shot.gold].answer for shot in given.held)
        assert [*answers.values()] == [2, 2], "the labels in turn, whatever the loss reads of them"
        assert len(given.shots) == 4
        assert not {id(shot) for shot in given.shots} & {id(shot) for shot in given.held}
    assert hold_out(given.shots, [0] * 4, None, 1) == []


def test_the_best_epoch_stays_and_patience_ends() -> None:
    torch.manual_seed(0)
    model = fresh(initializer_range=0.2)
    attach(model, Lora(dropout=0))
    requested = shots_of([9, 14, 5, 20, 7, 6])
    chosen = Tune(
        epochs=40, batch_size=2, learning_rate=5e-2, precision="fp32", early_stop=EarlyStop(patience=2)
    )
    records = trainer.fit(model, Material(requested[:4], held=requested[4:]), chosen, seed=1)
    losses = [record.held_out for record in records if record.held_out is not None]
    best = losses.index(min(losses))
    assert len(losses) == best + 3 < 40
    terms = trainer.terms_of(chosen)
    left = trainer.evaluated(model, trainer.micro_batches(requested[4:]), terms, "fp32")
    assert left == pytest.approx(losses[best], rel=1e-5)


def test_replay_is_its_share_of_the_loss_and_of_the_sequences() -> None:
    requested, pool = shots_of([9] * 8), windows([[i, *range(10)] for i in range(5)])
    plan = list(epochs(Material(requested, replay=pool), 4, 3, 0, share=0.2))
    for step in (step for steps in plan for step in steps):
        assert {batch.kind: len(batch.ids) for batch in step} == {"shots": 4, "replay": 1}
    firsts = Counter(int(b.ids[0, 0]) for s in plan for step in s for b in step if b.kind == "replay")
    assert sum(firsts.values()) == 6
    assert max(firsts.values()) == 2, "in turn, before any comes again"
    chosen = Tune(replay={"source": "world", "share": 0.2})
    weights = {term.name: term.weight for term in trainer.terms_of(chosen)}
    assert weights == pytest.approx({"answer": 0.8, "replay": 0.2})
    model = fresh(initializer_range=0.2)
    parts = trainer.accumulate(model, plan[0][0], trainer.terms_of(chosen), "fp32")
    (window,) = (batch for batch in plan[0][0] if batch.kind == "replay")
    with torch.no_grad():
        whole = model(window.ids).logits[0].log_softmax(-1)
    expected = -whole[torch.arange(10), window.targets].mean().item()
    assert parts["replay"] == pytest.approx(expected, rel=1e-4)


def test_every_text_of_the_teacher_once_an_epoch() -> None:
    requested = with_teacher(shots_of([9] * 7), fresh())
    texts = with_teacher(windows([[i, 1, 2, 3] for i in range(10)]), fresh())
    for steps in epochs(Material(requested, texts=texts), 2, 2, 0):
        found = [int(row[0]) for step in steps for b in step if b.kind == "texts" for row in b.ids]
        assert sorted(found) == list(range(10))


@pytest.mark.parametrize("lora", [{"dora": True}, {"rslora": True}, {"targets": ["q", "v"]}])
def test_other_adapters_train_save_merge_and_load(
    lora: dict[str, Any], base: Path, data: dict[str, str], tmp_path: Path
) -> None:  # fmt: skip
    out = tune(base, task="boolq", data=data, out=tmp_path / "out", lora=lora, **QUICK)
    ids = torch.arange(len(WORDS))[None]
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(out)(ids).logits
        on_top = load_tuned(base, out)
        names = {name.split(".")[-4] for name in on_top.state_dict() if "lora_A" in name}
        torch.testing.assert_close(on_top(ids).logits, merged, atol=1e-5, rtol=1e-5)
        untuned = AutoModelForCausalLM.from_pretrained(base)(ids).logits
    assert (merged - untuned).abs().max() > 1e-4
    assert len(names) == (2 if "targets" in lora else 7), names
