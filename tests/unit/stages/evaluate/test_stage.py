"""The stage: a row of figures from a model and local data, written once."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from tailored_llama import checkpoint, families
from tailored_llama.checkpoint import ModelWeights, weights_digest
from tailored_llama.data import load_task
from tailored_llama.errors import CheckpointError, DataError, TaskError, TuneError
from tailored_llama.scoring import accuracy, score
from tailored_llama.stages.evaluate import evaluate
from tests.support.pico import worded
from tests.support.tasks import ROWS, TASKS, write_split
from tests.support.tokenizers import tokenizer


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return worded()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Four questions a task, the gold option in several places, and four others to train on."""
    root = tmp_path_factory.mktemp("data")
    for name in TASKS:
        gold = next(key for key in ("label", "answer", "answerKey") if key in ROWS[name])
        kind = {"label": type(ROWS[name].get("label"))}.get(gold, str)
        values = (
            ["A", "B", "C", "A"]
            if gold == "answerKey"
            else [1, 2, 2, 1]
            if gold == "answer"
            else [0, 1, 1, 0]
        )
        text = next(key for key, value in ROWS[name].items() if isinstance(value, str) and key != gold)
        for split in ("train", "validation", "test"):
            rows = [
                ROWS[name] | {gold: kind(value), text: f"{split} {i} {ROWS[name][text]}"}
                for i, value in enumerate(values)
            ]
            write_split(root / name, split, rows)
    return {name: str(root / name) for name in TASKS}


def run(model: PreTrainedModel, data: dict[str, str], **settings: Any) -> dict[str, Any]:
    return evaluate(model, tokenizer=tokenizer(), data=data, **settings)


@pytest.mark.parametrize("prompt", ["harness", "choices"])
def test_figures_are_those_of_the_scorer(model: PreTrainedModel, data: dict[str, str], prompt: str) -> None:
    row = run(model, data, tasks=TASKS, prompt=prompt)
    assert list(row["tasks"]) == list(TASKS)
    for name, figures in row["tasks"].items():
        task = load_task(name)
        examples = task.examples(prompt, task.rows("scored", data[name]))
        scored = score(model, tokenizer(), examples)
        assert figures["acc"] == accuracy(scored, "acc")
        assert figures["acc_norm"] == accuracy(scored, "acc_norm")
        assert figures["main"] == figures[task.metric]
        assert figures["chance"] == pytest.approx(1 / len(examples[0].answers))
        assert (figures["n"], figures["cut"], figures["prompt"]) == (4, 0, prompt)
        share = figures["main"]
        assert figures["stderr"] == pytest.approx((share * (1 - share) / 3) ** 0.5)
    assert row["mean"] == pytest.approx(sum(f["main"] for f in row["tasks"].values()) / 7)
    assert row["params"] == sum(p.numel() for p in model.parameters())
    assert row["macs"] == families.mac_count(model.config)
    assert row["peak_memory"] > 10**8
    assert row["prompt"] == prompt


def test_each_task_in_its_own_wording(model: PreTrainedModel, data: dict[str, str]) -> None:
    row = run(model, data, tasks=["boolq", "piqa"], prompts={"boolq": "cloze", "piqa": "paper"}, limit=2)
    assert {name: (f["prompt"], f["n"]) for name, f in row["tasks"].items()} == {
        "boolq": ("cloze", 2),
        "piqa": ("paper", 2),
    }
    assert row["prompt"] == "same"


@pytest.mark.parametrize("name", ["boolq", "winogrande"])
def test_shots_stand_before_every_question(
    model: PreTrainedModel, data: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tailored_llama.stages.evaluate.harness import Model

    seen: list[str] = []
    original = Model.loglikelihood

    def spy(self: Model, requests: list[Any], **kw: Any) -> Any:
        seen.extend(request.args[0] for request in requests)
        return original(self, requests, **kw)

    monkeypatch.setattr(Model, "loglikelihood", spy)
    row = run(model, data, tasks=[name], fewshot=2, seed=7)
    prefix = seen[0].split("validation 0")[0]
    assert prefix.count("\n\n") == prefix.count("train ") == 2
    assert len(seen) == 8
    assert all(context.startswith(prefix) for context in seen)
    assert row["tasks"][name]["n"] == 4


def test_long_contexts_are_cut_and_counted_without_noise(
    data: dict[str, str], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        row = run(worded(context=30), data, tasks=["boolq"])
    assert row["tasks"]["boolq"]["cut"] == 4
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_an_answer_longer_than_the_context_names_task_and_row(tmp_path: Path) -> None:
    rows = [ROWS["piqa"], ROWS["piqa"] | {"sol2": "wait " * 40}]
    data = {"piqa": str(write_split(tmp_path / "piqa", "validation", rows))}
    with pytest.raises(DataError, match=r"task piqa, .*validation.jsonl, row 2: an answer has \d+ tokens"):
        run(worded(context=40), data, tasks=["piqa"])


def test_perplexity_is_the_exponent_of_the_mean_loss(model: PreTrainedModel, tmp_path: Path) -> None:
    text = "The owl sleeps by day. " * 20
    (tmp_path / "owls.txt").write_text(text)
    name = str(tmp_path / "owls.txt")
    figures = run(model, {}, perplexity=[name], length=16)["perplexity"][name]
    ids = torch.tensor(tokenizer().encode(text))
    windows = ids[: len(ids) // 16 * 16].view(-1, 16)
    with torch.inference_mode():
        loss = torch.stack([model(w[None], labels=w[None]).loss for w in windows]).mean()
    assert figures["perplexity"] == pytest.approx(float(loss.exp()), rel=1e-5)
    assert (figures["windows"], figures["tokens"], figures["length"]) == (len(windows), len(windows) * 15, 16)


def test_a_corpus_can_name_its_own_window(model: PreTrainedModel, tmp_path: Path) -> None:
    (tmp_path / "owls.txt").write_text("The owl sleeps by day. " * 20)
    data = {"ptb": str(tmp_path / "owls.txt")}
    both = run(model, data, perplexity=["ptb", "ptb@32"], length=16)["perplexity"]
    assert {name: figures["length"] for name, figures in both.items()} == {"ptb": 16, "ptb@32": 32}
    assert both["ptb@32"] == run(model, data, perplexity=["ptb"], length=32)["perplexity"]["ptb"]


def test_corpora_of_lines_are_joined_as_published(tmp_path: Path) -> None:
    from tailored_llama.stages.evaluate.perplexity import corpus

    (tmp_path / "text.txt").write_text(" \n = Owl = \n \n Owls fly .\n")
    data = {"wikitext2": str(tmp_path / "text.txt"), "ptb": str(tmp_path / "text.txt")}
    assert corpus("wikitext2", data) == "\n\n = Owl = \n\n\n\n\n Owls fly .\n"
    assert corpus("ptb", data) == "\n\n= Owl =\n\n\n\nOwls fly ."
    assert corpus(data["ptb"], {}) == " \n = Owl = \n \n Owls fly .\n"
    assert len(corpus("world", {})) > 1000


@pytest.mark.parametrize(
    ("settings", "error", "output"),
    [
        ({"tasks": ["bolq"]}, TaskError, "did you mean 'boolq'"),
        ({"tasks": ["boolq"], "prompt": "harnes"}, TaskError, "did you mean 'harness'"),
        ({"perplexity": ["wikitext"]}, DataError, r"no corpus 'wikitext' \(did you mean 'wikitext2'"),
        ({"perplexity": ["nowhere.txt"]}, DataError, "nowhere.txt is not readable text"),
        ({"perplexity": ["world"], "length": 1000}, DataError, "windows of 1000 tokens do not fit"),
        ({"perplexity": ["world@2048"]}, DataError, r"2048 tokens do not fit .*\(--length 256\)"),
        ({"perplexity": ["world@1"]}, DataError, "perplexity world@1: a window needs at least 2 tokens"),
        ({"tasks": ["boolq"], "tokenizer": None}, CheckpointError, "needs its tokenizer"),
        ({"adapter": "nowhere"}, TuneError, "nowhere holds no adapter"),
    ],
)
def test_bad_input(
    model: PreTrainedModel,
    data: dict[str, str],
    settings: dict[str, Any],
    error: type[Exception],
    output: str,
) -> None:
    with pytest.raises(error, match=output) as caught:
        evaluate(model, **{"tokenizer": tokenizer(), "data": data} | settings)
    assert "\n" not in str(caught.value)


def save(model: PreTrainedModel, directory: Path) -> Path:
    model.save_pretrained(directory)
    tokenizer().save_pretrained(directory)
    return directory


def test_results_are_written_once(
    model: PreTrainedModel, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, out = save(model, tmp_path / "model"), tmp_path / "out"
    requested: dict[str, Any] = {"tasks": ["piqa"], "data": data, "out": out}
    row = evaluate(directory, **requested)
    results = json.loads((out / "results.json").read_text())
    assert results["rows"] == [row.to_json()]
    assert results["versions"]["lm_eval"]
    assert json.loads((out / "manifest.json").read_text())["stage"] == "evaluate"
    monkeypatch.setattr(sys.modules[evaluate.__module__], "load", None)
    assert evaluate(directory, **requested) == row
    with pytest.raises(TypeError):  # other settings are measured anew
        evaluate(directory, **requested, limit=1)
    assert json.loads((out / "results.json").read_text()) == results


def test_an_adapter_counts_and_leaves_the_model_alone(data: dict[str, str], tmp_path: Path) -> None:
    model = worded()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tuned = get_peft_model(worded(), LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    torch.manual_seed(1)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    folder = tmp_path / "tuned" / "adapter"
    tuned.save_pretrained(folder)
    checkpoint.write_json(folder / "base.json", {"weights": weights_digest(ModelWeights(model))})
    text = tmp_path / "owls.txt"
    text.write_text("The owl sleeps by day. " * 20)
    requested: dict[str, Any] = {"perplexity": [str(text)], "length": 16}
    plain = run(model, data, **requested)["perplexity"][str(text)]["perplexity"]
    with_adapter = run(model, data, adapter=tmp_path / "tuned", **requested)["perplexity"][str(text)][
        "perplexity"
    ]
    expected = run(tuned.merge_and_unload(), data, **requested)["perplexity"][str(text)]["perplexity"]
    assert with_adapter == pytest.approx(expected, rel=1e-5)
    assert with_adapter != pytest.approx(plain, rel=1e-2)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_validation_split_is_there_to_choose_by_and_not_where_it_is_reported() -> None:
    from tailored_llama.data import load_task
    from tailored_llama.errors import TaskError
    from tailored_llama.stages.evaluate.questions import Questions

    requested = {
        split: Questions.of(
            load_task("world_boolq"), "paper", None, limit=3, fewshot=0, seed=1, split=split
        ).place
        for split in ("scored", "validation")
    }  # fmt: skip
    assert requested["scored"].endswith("/test")
    assert requested["validation"].endswith("/validation")
    with pytest.raises(
        TaskError, match=r"boolq is scored on its validation split, so settings must not be chosen"
    ):
        Questions.of(load_task("boolq"), "paper", None, limit=3, fewshot=0, seed=1, split="validation")
