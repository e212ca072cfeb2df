"""Written answers: the same as a plain loop writes them, and counted as the published metrics count."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig, PreTrainedModel

from tailored_llama import evaluate, prune
from tailored_llama.checkpoint import load_model
from tailored_llama.data import Example, Generation, load_task
from tailored_llama.errors import DataError
from tailored_llama.scoring import outcomes, requests, text_scores, write
from tailored_llama.scoring.requests import encode_context
from tailored_llama.scoring.text_metrics import token_f1
from tailored_llama.training.batches import encode
from tests.support.pico import worded
from tests.support.tasks import written_task
from tests.support.tokenizers import tokenizer

FREE = Generation(max_new_tokens=8, stop=())
CONTEXTS = ("the owl", "Question: is the cat a dog?\nAnswer:", "A", "the dog, because it was so. ")


def examples(*contexts: str) -> list[Example]:
    return [Example((c,), (" yes",), 0, row, references=("yes",)) for row, c in enumerate(contexts)]


@pytest.fixture(scope="module")
def plain() -> PreTrainedModel:
    return worded()


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    """A shaped model: other widths in every layer."""
    folder = tmp_path_factory.mktemp("shaped")
    worded().save_pretrained(folder / "dense")
    tokenizer().save_pretrained(folder / "dense")
    prune(
        folder / "dense", ratio=0.2, criterion="l2", allocate="global", calibration={"source": "world"},
        out=folder / "cut",
    )  # fmt: skip
    model = load_model(folder / "cut")
    assert model.config.model_type == "shaped_llama"
    return model


def by_hand(model: PreTrainedModel, ids: list[int], count: int) -> list[int]:
    """Greedy, alone, without cache or padding."""
    new: list[int] = []
    for _ in range(count):
        with torch.inference_mode():
            token = int(model(torch.tensor([ids + new])).logits[0, -1].argmax())
        if token == tokenizer().eos_token_id:
            break
        new.append(token)
    return new


@pytest.mark.parametrize("kind", ["plain", "shaped"])
@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_batches_write_what_a_plain_loop_writes(
    kind: str, batch_size: int | None, request: pytest.FixtureRequest
) -> None:
    model, words = request.getfixturevalue(kind), tokenizer()
    written = write(model, words, examples(*CONTEXTS), FREE, batch_size=batch_size)
    for context, answer in zip(CONTEXTS, written, strict=True):
        expected = by_hand(model, encode_context(words, context), 8)
        assert answer.text == words.decode(expected, skip_special_tokens=True).strip()
        assert answer.ended == (len(expected) < 8)
        assert not answer.cut


def test_an_answer_ends_before_the_first_stop(plain: PreTrainedModel) -> None:
    whole = write(plain, tokenizer(), examples(*CONTEXTS), FREE)
    for answer, context in zip(whole, CONTEXTS, strict=True):
        middle = answer.text[len(answer.text) // 2]
        stop = FREE.model_copy(update={"stop": ("never", middle)})
        (stopped,) = write(plain, tokenizer(), examples(context), stop)
        assert stopped.text == answer.text.partition(middle)[0].strip()
        assert stopped.ended


def test_a_models_own_settings_play_no_part() -> None:
    model = worded()
    before = write(model, tokenizer(), examples(*CONTEXTS), FREE)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=9.0, repetition_penalty=5.0, eos_token_id=1
    )
    settings = model.generation_config
    assert write(model, tokenizer(), examples(*CONTEXTS), FREE) == before
    assert model.generation_config is settings


def test_long_contexts_lose_their_beginning(plain: PreTrainedModel) -> None:
    small = worded(context=20)
    long = "the cat " * 20
    (answer,) = write(small, tokenizer(), examples(long), FREE)
    assert answer.cut
    ids = encode_context(tokenizer(), long)[-12:]
    assert answer.text == tokenizer().decode(by_hand(small, ids, 8), skip_special_tokens=True).strip()
    with pytest.raises(DataError, match=r"context 20 cannot generate 20 tokens.*max_new_tokens"):
        write(small, tokenizer(), examples("x"), Generation(max_new_tokens=20))


def test_what_is_learnt_is_what_is_written_with_its_end() -> None:
    words = tokenizer()
    for context, answer in (("the owl", " a dog."), ("Answer:\n", "a dog."), ("so. ", "yes")):
        example = Example((context,), (answer,), 0, 0, references=(answer.strip(),))
        (request,) = requests(words, [example], 64)
        assert [shot.choices for shot in encode(words, [example], 64)] == [(request,)]
        context_ids = encode_context(words, context)
        assert list(request.ids[: len(context_ids)]) == context_ids
        assert request.answer[-1] == words.eos_token_id
        text = words.decode([*context_ids, *request.answer], skip_special_tokens=True)
        assert text == context + answer


@pytest.mark.parametrize(
    ("text", "rights", "exact", "f1", "rouge"),
    [
        ("The fox eats honey.", ["the fox eats  Honey"], 1, 1, 1),
        ("The fox eats grass.", ["The fox eats honey."], 0, 2 / 3, 3 / 4),
        ("honey", ["grass", "the honey"], 1, 1, 2 / 3),
        ("honey honey", ["honey"], 0, 2 / 3, 2 / 3),
        ("", ["honey"], 0, 0, 0),
        ("eats fox", ["fox eats"], 0, 1, 1 / 2),
    ],
)
def test_metrics(text: str, rights: list[str], exact: float, f1: float, rouge: float) -> None:
    scores = text_scores(text, rights)
    assert scores.pop("exact") == float(text in rights)
    assert scores == pytest.approx({"exact_match": exact, "f1": f1, "rougeL": rouge})


@given(st.text(), st.text())
def test_metrics_are_shares_and_one_of_itself(one: str, other: str) -> None:
    assert all(0 <= value <= 1 for value in text_scores(one, [other]).values())
    assert token_f1(one, other) == pytest.approx(token_f1(other, one))
    assert text_scores(one, [one])["exact_match"] == text_scores(one, [one, other])["f1"] == 1


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return written_task(tmp_path / "own")


def test_figures_are_those_of_the_texts(plain: PreTrainedModel, task: Path) -> None:
    row = evaluate(plain, tokenizer=tokenizer(), tasks=[task], prompt="plain", limit=4)
    (figures,) = row["tasks"].values()
    own = load_task(task)
    requested = own.examples("plain", own.rows("scored"))[:4]
    written = write(plain, tokenizer(), requested, own.generation)
    scores = [text_scores(w.text, e.references) for w, e in zip(written, requested, strict=True)]
    for metric in ("exact_match", "f1", "rougeL", "exact"):
        assert figures[metric] == pytest.approx(sum(s[metric] for s in scores) / 4)  # type: ignore[index]
    assert (figures["main"], figures["metric"], figures["chance"]) == (figures["f1"], "f1", 0)
    assert (figures["n"], figures["cut"], figures["prompt"]) == (4, 0, "plain")
    assert figures["unended"] == sum(not w.ended for w in written)
    assert [s["written"] for s in figures["samples"]] == [w.text for w in written[:3]]
    assert row["mean"] == figures["f1"]


def test_shots_stand_before_a_question_answered(plain: PreTrainedModel, task: Path) -> None:
    from tailored_llama.stages.evaluate.generation import _after
    from tailored_llama.stages.evaluate.questions import Questions

    requested = Questions.of(load_task(task), "lines", None, limit=1, fewshot=2, seed=1)
    example = _after(requested.shots, requested.examples[0])
    assert example.context.count("r who") == 2
    assert example.context.endswith("\n\ne who is 0?\n")
    row = evaluate(plain, tokenizer=tokenizer(), tasks=[task], prompt="lines", limit=1, fewshot=2, seed=1)
    (written,) = write(plain, tokenizer(), [example], load_task(task).generation)
    (figures,) = row["tasks"].values()
    assert figures["samples"][0]["written"] == written.text


def test_outcomes_of_written_answers(plain: PreTrainedModel, task: Path) -> None:
    own = load_task(task)
    requested = own.examples("plain", own.rows("train"))
    found = outcomes(plain, tokenizer(), own, requested, description="")
    request, *_ = requests(tokenizer(), requested, 256)
    with torch.inference_mode():
        logits = plain(torch.tensor([request.ids])).logits[0].log_softmax(-1)
    places = range(len(request.ids) - len(request.answer), len(request.ids))
    mean = sum(float(logits[p, t]) for p, t in zip(places, request.answer, strict=True)) / len(request.answer)
    assert found[0].margin == pytest.approx(torch.tensor(mean).exp().item(), rel=1e-4)
    assert all(0 <= outcome.right <= 1 for outcome in found)
