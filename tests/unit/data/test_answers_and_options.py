"""One answer for each option: refused where they differ, and names for as many options as there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tailored_llama import evaluate, tune
from tailored_llama.cli import execute
from tailored_llama.data import chance, load_task
from tailored_llama.data.templates import LETTERS
from tailored_llama.data.text_windows import calibration_tokens
from tailored_llama.errors import DataError
from tailored_llama.recipe import Calibration
from tailored_llama.scoring import Scored, rank_prompts
from tailored_llama.stages.prune.margin import questions
from tests.support.pico import worded
from tests.support.tasks import write_split
from tests.support.tokenizers import tokenizer

TASK = """
metric: acc_norm
scored: test
max_length: 2048
fields: [text, options, label]
options: options
gold: label | int
source: {{files: .}}
prompts:
  plain: {{context: "{{{{ text }}}}"}}
  listed:
    context: >-
      {{% for option in options %}}{{{{ letters[loop.index0] }}}}. {{{{ option }}}};
      {{% endfor %}}{{{{ text }}}}
    answers: "{answers}"
  partial: {{contexts: "{contexts}", answer: "owl"}}
"""
MODEL, WORDS = worded(context=2048), tokenizer()


def own(
    folder: Path, options: int = 3, *, answers: str = "letters[:options | length]",
    contexts: str = "options",
) -> Path:  # fmt: skip
    for split in ("train", "test"):
        rows = [
            {"text": f"{split[1]} {i}", "options": [f"cat {j}" for j in range(options)], "label": i % options}
            for i in range(4)
        ]
        write_split(folder, split, rows)
    (folder / "own.yaml").write_text(TASK.format(answers=answers, contexts=contexts))
    return folder / "own.yaml"


@pytest.mark.parametrize(
    ("prompt", "wrong", "says"),
    [
        ("listed", {"answers": "letters[:2]"}, "gives 2 answers for 3 options"),
        ("listed", {"answers": "letters[:4]"}, "gives 4 answers for 3 options"),
        ("listed", {"answers": "[]"}, "gives 0 answers for 3 options"),
        ("partial", {"contexts": "options[:2]"}, "gives 2 contexts for 3 options"),
        ("partial", {"contexts": "options + options"}, "gives 6 contexts for 3 options"),
    ],
)
def test_another_number_is_refused_in_every_stage(
    prompt: str, wrong: dict[str, str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own(tmp_path, **wrong)  # type: ignore[arg-type]
    task, out = load_task(path), tmp_path / "out"
    place = rf"/{{split}}\.jsonl, row \d: prompt '{prompt}' of task own {says}; it must give one per option"
    for split, call in (
        ("test", lambda: evaluate(MODEL, tokenizer=WORDS, tasks=[path], prompt=prompt)),
        ("train", lambda: tune(MODEL, tokenizer=WORDS, task=path, prompt=prompt, shots=3, out=out)),
        ("train", lambda: rank_prompts(MODEL, WORDS, task, task.rows("train"))),
        (
            "train",
            lambda: calibration_tokens(
                Calibration(source="task", samples=9, length=9), lambda: WORDS, vocabulary=300, seed=0,
                tasks=[str(path)],
            ),
        ),
    ):  # fmt: skip
        with pytest.raises(DataError, match=place.format(split=split)) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not out.exists()
    assert execute(["prompts", "show", str(path)]) == 2
    assert f"train.jsonl, row 1: prompt '{prompt}' of task own {says}" in capsys.readouterr().err


def test_a_row_of_its_own_is_named(tmp_path: Path) -> None:
    path = own(tmp_path, answers="letters[:3]")
    rows = [{"text": str(i), "options": ["a", "b", "c", "d"][: 4 - (i == 0)], "label": 0} for i in range(4)]
    write_split(tmp_path, "test", rows)
    with pytest.raises(DataError, match=r"test\.jsonl, row 2: .*gives 3 answers for 4 options"):
        evaluate(MODEL, tokenizer=WORDS, tasks=[path], prompt="listed")


def test_letters_go_on_after_z(tmp_path: Path) -> None:
    assert LETTERS[:3] == ("A", "B", "C")
    assert LETTERS[25:29] == ("Z", "AA", "AB", "AC")
    assert LETTERS[26 + 26 * 26 - 1 :][:2] == ("ZZ", "AAA")
    assert len(set(LETTERS)) == len(LETTERS)
    expression = ImmutableSandboxedEnvironment().compile_expression("letters[:77]")
    assert expression(letters=LETTERS)[-1] == "BY"


def test_seventy_seven_options(tmp_path: Path) -> None:
    path = own(tmp_path, options=77)
    task = load_task(path)
    for prompt in ("listed", "plain", "partial"):
        row = evaluate(MODEL, tokenizer=WORDS, tasks=[path], prompt=prompt, limit=1)
        assert row["chance"] == pytest.approx(1 / 77)
        assert row["tasks"]["own"]["cut"] == 0
    examples = task.examples("listed", task.rows("train"))
    assert examples[0].answers[-1] == " BY"
    assert "; BY. cat 76; " in examples[0].context
    assert chance(examples) == pytest.approx(1 / 77)
    assert len(questions(WORDS, examples, task.metric, 2048, 300)[0].choices) == 77


def test_a_single_option_has_a_margin() -> None:
    """There is nothing to prefer it to: it is certain."""
    assert Scored((-3.0,), (4,), 0, cut=False).margin("acc") == 1.0
