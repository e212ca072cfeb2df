"""Metrics of written answers: which texts are the same to them, in numbers, symbols and every script."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailored_llama import evaluate
from tailored_llama.data import load_task
from tailored_llama.reporting import formatting
from tailored_llama.scoring import outcomes, text_scores
from tailored_llama.scoring.normalisation import normalised, words_of
from tests.support.pico import worded
from tests.support.results import row
from tests.support.tasks import WRITTEN, write_split
from tests.support.tokenizers import tokenizer

ASCII = st.text(alphabet=string.ascii_letters + string.digits + string.punctuation + "  \n", max_size=30)
SCRIPTS = (
    "北京是中国的首都。",
    "हिन्दी में लिखा हुआ",
    "العربية لغة جميلة",
    "日本語のテキスト",
    "ภาษาไทย",
    "한국어 문장",
    "русский текст",
    "עברית",
    "ελληνικά",
    "தமிழ்",
    "👍🏽",
    "🦉🦉",
    "❤️",
    "?!",
    "+",
    "…",
    "½",
    "५",
    "é",
    "e\u0301",
)


def exact_match(text: str, right: str) -> float:
    return text_scores(text, [right])["exact_match"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Signs and decimal points, in every form in which they are written.
        ("2.5 mg", "25 mg"),
        ("-5", "5"),
        ("+5", "-5"),
        ("−5", "5"),
        ("–5", "5"),
        (".5", "5"),
        ("-.5", ".5"),
        ("1e-5", "1e5"),
        ("-$5", "$5"),
        ("2,5", "25"),
        ("２．５", "２５"),
        ("٢٫٥", "٢٥"),
        ("-½", "½"),
        ("it is -5 degrees", "it is 5 degrees"),
        ("(-3, 2)", "(3, 2)"),
        ("3.14", "314"),
        ("v1.2", "v12"),
        # Two numbers do not become one.
        ("5-10", "510"),
        ("1/2", "12"),
        ("10:30", "1030"),
        ("1,2,3", "123"),
        ("5..10", "510"),
        ("3*4", "34"),
        ("2020-01-01", "20200101"),
        ("5 - 10", "510"),
        ("1.2.3", "123"),
        # What a symbol says.
        ("50%", "50"),
        ("$5", "€5"),
        ("$5", "5"),
        ("C++", "C"),
        ("C#", "C"),
        ("x^2", "x2"),
        ("a<b", "a>b"),
        ("O+", "O-"),
        ("👍", "👎"),
        ("5°", "5"),
        ("5٪", "5"),
        ("5‱", "5"),
        ("5′", "5″"),
        ("5″", "5"),
        ("3×4", "34"),
        # What normalises to nothing is only itself.
        ("", "A"),
        ("", "the"),
        ("A", "the"),
        ("+", "-"),
        ("*", "/"),
        ("?", "!"),
        ("", "?"),
        ("", "\u200b"),
        ("\ufeff", "\u200b"),
        ("。", "？"),
        ("a", "."),
    ],
)
def test_other_answers_are_not_the_same(one: str, other: str) -> None:
    assert exact_match(one, other) == exact_match(other, one) == 0.0
    assert text_scores(one, [other])["f1"] < 1.0
    assert text_scores(one, [other])["exact"] == 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The fox eats honey.", "fox eats  Honey"),
        ("“Paris”", "Paris"),
        ("¿Qué?", "qué"),
        ("北京。", "北京"),
        ("«Ja», sagte sie", "ja sagte sie"),
        ("हाँ।", "हाँ"),
        ("نعم؟", "نعم"),
        ("don’t", "don't"),
        ("don't", "dont"),
        ("1,000", "1000"),
        ("1,234,567.5", "1234567.5"),
        ("1'000", "1000"),
        ("1,00,000", "100000"),
        ("5.", "5"),
        ("- 5 apples", "5 apples"),
        ("−5", "-5"),
        ("5–10", "5-10"),
        ("5 - 10", "5-10"),
        ("50 %", "50%"),
        ("٥ ٪", "٥%"),
        ("fo\u00ado\u200b", "foo"),
        ("\ufefffoo", "foo"),
        ("❤️", "❤"),
        ("￣", "￣"),
        (".5", "0.5"),
        ("２．５ ｍｇ", "2.5 mg"),
        ("No. 5", "no 5"),
        ("U.S.", "us"),
        ("well-known", "wellknown"),
        ("F-16", "F16"),
        ("**bold**", "bold"),
        ("`code`", "code"),
        ("Straße", "STRASSE"),
        ("é", "e\u0301"),
        ("A", "a"),
        ("+", "+"),
        ("?!", " ?! "),
        ("THE", "the"),
    ],
)
def test_the_same_answer_in_another_form(one: str, other: str) -> None:
    assert exact_match(one, other) == exact_match(other, one) == 1.0
    assert text_scores(one, [other])["f1"] == 1.0


def squad(text: str) -> str:
    """The published script's."""
    bare = "".join(char for char in text.lower() if char not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


@given(st.text(alphabet=string.ascii_letters + " .,;:!?'\"()-", max_size=40))
def test_english_prose_is_normalised_as_published(text: str) -> None:
    assert normalised(text) == squad(text) or not squad(text)


@given(ASCII)
def test_words_of_ascii_are_rouge_scores(text: str) -> None:
    theirs = re.sub(r"[^a-z0-9]+", " ", text.lower()).split()
    assert words_of(text) == (theirs or [char for char in text if not char.isspace()])


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_text_is_all_right_to_every_metric_in_any_script(text: str) -> None:
    assert set(text_scores(text, [text]).values()) == {1.0}
    assert set(text_scores(text, ["owl", text]).values()) == {1.0}
    assert max(text_scores("owl", [text]).values()) == 0.0


@given(st.text(), st.text())
def test_any_text_equals_itself_and_scores_are_shares(one: str, other: str) -> None:
    own = text_scores(one, [one])
    assert own["exact_match"] == own["f1"] == own["exact"] == 1.0
    assert own["rougeL"] == float(bool(one.strip()))
    assert all(0.0 <= value <= 1.0 for value in text_scores(one, [other]).values())
    assert bool(normalised(one)) == bool(one.strip("\0").strip()) or "\0" in one


def test_rouge_knows_parts_of_a_text_in_other_scripts() -> None:
    assert text_scores("北京是首都", ["北京是中国的首都"])["rougeL"] == pytest.approx(2 * 5 / (5 + 8))
    assert text_scores("वह घर गया", ["वह घर आया"])["rougeL"] == pytest.approx(2 / 3)
    assert text_scores("可", ["可以"])["rougeL"] == pytest.approx(2 / 3)
    assert text_scores("می\u200cخواهم", ["میخواهم"])["rougeL"] == 1.0


def test_exact_is_the_text_itself() -> None:
    for one, other, score in (
        ("a b", " a b\n", 1.0), ("e\u0301", "é", 1.0), ("A b", "a b", 0.0), ("a b.", "a b", 0.0),
        ("a  b", "a b", 0.0), ("the owl", "owl", 0.0), ("1,000", "1000", 0.0), ("ﬁ", "fi", 0.0),
    ):  # fmt: skip
        assert text_scores(one, [other])["exact"] == score, (one, other)


def test_exact_is_a_metric_of_tasks(tmp_path: Path) -> None:
    rows = [{"question": f"who is {i}?", "answer": "Cats."} for i in range(3)]
    write_split(tmp_path, "train", rows)
    write_split(tmp_path, "test", rows)
    (tmp_path / "own.yaml").write_text(
        WRITTEN.replace("metric: f1", "metric: exact") + "source: {files: .}\n"
    )
    task = load_task(tmp_path / "own.yaml")
    examples = task.examples("plain", task.rows("train"))
    assert {outcome.right for outcome in outcomes(worded(), tokenizer(), task, examples, description="")} <= {
        0.0,
        1.0,
    }
    figures = evaluate(worded(), tokenizer=tokenizer(), tasks=[tmp_path / "own.yaml"], prompt="plain")[
        "tasks"
    ]["own"]
    assert figures["main"] == figures["exact"]
    assert {"exact_match", "f1", "rougeL", "exact"} <= set(figures.keys())
    assert formatting.named("own", figures) == "own (exact text)"
    assert formatting.quantity([row("tuned", {"own": figures.to_json()})]) == "score"
