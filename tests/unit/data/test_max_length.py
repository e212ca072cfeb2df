"""`max_length` of a task: what is read of an example at most, in every stage, and how it is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailored_llama import evaluate, tune
from tailored_llama.data import load_task
from tailored_llama.data.text_windows import calibration_tokens
from tailored_llama.errors import DataError
from tailored_llama.recipe import Calibration
from tailored_llama.scoring import example_length, outcomes, requests
from tailored_llama.training.batches import encode
from tests.support.pico import worded
from tests.support.tasks import TASKS, write_split
from tests.support.tokenizers import tokenizer

CHOICE = """
metric: acc
fields: [text, label]
options: "['yes', 'no']"
gold: label | int
prompts:
  plain: {{context: "{{{{ text }}}}\\nAnswer:"}}
"""
WRITTEN = """
kind: generation
metric: f1
fields: [text, answer]
references: "[answer]"
generation: {{max_new_tokens: 6, stop: []}}
prompts:
  plain: {{context: "{{{{ text }}}}\\nAnswer:"}}
"""
BOTH = "scored: test\nsource: {{files: .}}\nmax_length: {limit}\n"
MODEL, WORDS = worded(), tokenizer()


def own(folder: Path, kind: str, limit: int, words: int = 12) -> Path:
    """Six rows a split, of which every third is long."""
    rows = [
        {"text": f"{i} owl" * (words if i % 3 == 0 else 1), "label": i % 2, "answer": "a dog"}
        for i in range(6)
    ]
    for split, extra in (("train", "t"), ("test", "e")):
        write_split(folder, split, [row | {"text": f"{row['text']}{extra}"} for row in rows])
    (folder / f"{kind}.yaml").write_text(
        {"choice": CHOICE, "written": WRITTEN}[kind].format() + BOTH.format(limit=limit)
    )
    return folder / f"{kind}.yaml"


@pytest.mark.parametrize("kind", ["choice", "written"])
def test_a_longer_prompt_is_cut_on_the_left_and_counted(kind: str, tmp_path: Path) -> None:
    short, whole = own(tmp_path / "a", kind, 20), own(tmp_path / "b", kind, 200)
    given: dict[str, Any] = {"tokenizer": WORDS, "prompt": "plain"}
    figures = {name: evaluate(MODEL, tasks=[name], **given)["tasks"][kind] for name in (short, whole)}
    assert (figures[short]["cut"], figures[whole]["cut"]) == (2, 0)
    # As a model of that context would have read it.
    narrow = evaluate(worded(context=20 if kind == "choice" else 26), tasks=[whole], **given)["tasks"][kind]
    assert narrow == figures[short]


@pytest.mark.parametrize("kind", ["choice", "written"])
def test_what_is_trained_on_and_ranked_is_what_is_scored(kind: str, tmp_path: Path) -> None:
    task = load_task(own(tmp_path, kind, 20))
    examples = task.examples("plain", task.rows("train"))
    limit = example_length(task, MODEL)
    assert limit == 20
    shots = encode(WORDS, examples, limit, None, 300)
    assert max(len(choice.ids) for shot in shots for choice in shot.choices) == 20
    assert [shot.choices[0].cut for shot in shots] == [True, False, False, True, False, False]
    longer = load_task(own(tmp_path / "longer", kind, 200))
    found = [outcomes(MODEL, WORDS, each, examples, description="") for each in (task, longer)]
    assert [one == other for one, other in zip(*found, strict=True)] == [False, True, True, False, True, True]


def test_the_smaller_of_context_and_max_length_counts(tmp_path: Path) -> None:
    task = load_task(own(tmp_path, "choice", 20))
    assert example_length(task, worded(context=16)) == 16
    assert example_length(task, MODEL.config) == 20
    # Each shot before a question may be as long as the question.
    assert example_length(task, MODEL, 3) == 80
    assert example_length(task, MODEL, 30) == 256


def test_examples_before_a_question_do_not_count_against_it(tmp_path: Path) -> None:
    path = own(tmp_path, "choice", 20, words=1)
    row = evaluate(MODEL, tokenizer=WORDS, tasks=[path], prompt="plain", fewshot=3)
    assert row["tasks"]["choice"]["cut"] == 0


def test_an_answer_longer_than_max_length_names_the_row(tmp_path: Path) -> None:
    path = own(tmp_path, "written", 8)
    rows = [{"text": "owl", "answer": "a dog " * (10 if i == 2 else 1)} for i in range(6)]
    write_split(tmp_path, "train", rows)
    with pytest.raises(
        DataError, match=r"train\.jsonl, row 3: choice 0 has 42 tokens, but 1 to 8 can be scored"
    ):
        tune(MODEL, tokenizer=WORDS, task=path, shots=6, prompt="plain", epochs=1)
    write_split(tmp_path, "test", [{"text": "owl", "label": 0}] * 2)
    (tmp_path / "choice.yaml").write_text(CHOICE.format().replace("'no'", "'no cat'") + BOTH.format(limit=1))
    with pytest.raises(
        DataError, match=r"row 1: an answer has \d tokens, but 1 to 1 can be scored.*max_length"
    ):
        evaluate(MODEL, tokenizer=WORDS, tasks=[tmp_path / "choice.yaml"], prompt="plain")


def test_calibration_reads_no_more_of_an_example(tmp_path: Path) -> None:
    path = own(tmp_path, "choice", 12)
    settings = Calibration(source="task", samples=4, length=16)
    text = calibration_tokens(settings, lambda: WORDS, vocabulary=300, seed=0, tasks=[str(path)]).flatten()
    task = load_task(path)
    examples = task.examples("plain", task.rows("train"))
    read = [WORDS.encode(f"{e.context}{e.answer}\n\n") for e in examples]
    assert max(map(len, read)) > 12
    tails, rest = sorted(map(tuple, (ids[-12:] for ids in read)), key=len), text.tolist()
    while rest:
        tail = next(ids for ids in tails if tuple(rest[: len(ids)]) == ids[: len(rest)])
        rest = rest[len(tail) :]


def test_the_record_of_a_tuning_counts_what_was_cut(tmp_path: Path) -> None:
    path = own(tmp_path, "choice", 20)
    from tailored_llama.recipe import Tune
    from tailored_llama.stages.tune.stage import Job

    job = Job(MODEL, load_task(path), Tune(shots=6, prompt="plain", epochs=1), 1, None, WORDS, None)
    assert job.run().shots["cut"] == 2


def test_no_question_of_the_world_is_cut() -> None:
    from tailored_llama import checkpoint

    words, config = checkpoint.load_tokenizer("world"), checkpoint.load_config("world")
    for name in TASKS:
        assert load_task(name).max_length >= 1024  # more than any of their rows has
        assert load_task(f"world_{name}").max_length >= 1024
    task = load_task("world_tell")
    for prompt in task.prompts:
        examples = task.examples(prompt, task.rows("scored")[:60])
        given = requests(words, examples, example_length(task, config), int(config.vocab_size))
        assert not any(request.cut for request in given)
