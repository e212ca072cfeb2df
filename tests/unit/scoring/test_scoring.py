"""Scores against the plainest computation there is: one sequence at a time, every token."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tailored_llama import scoring
from tailored_llama.data import Example, load_task
from tailored_llama.errors import DataError
from tailored_llama.scoring import Scored, encode_pair, rank_prompts, score
from tailored_llama.scoring.rank import rank
from tests.support.pico import worded
from tests.support.tasks import ROWS, TASKS
from tests.support.tokenizers import tokenizer

MODEL, TOKENIZER = worded(), tokenizer()


def example(context: str, *answers: str, gold: int = 0) -> Example:
    return Example((context,) * len(answers), answers, gold, 0)


def plain(context: str, answer: str, limit: int = 256) -> float:
    """log P(answer | context), the last `limit` tokens read."""
    before, after = TOKENIZER.encode(context), TOKENIZER.encode(answer, add_special_tokens=False)
    ids = torch.tensor((before + after)[-limit - 1 :])
    with torch.inference_mode():
        logprobs = MODEL(ids[None, :-1]).logits[0].log_softmax(-1)
    return float(logprobs[-len(after) :].gather(1, ids[-len(after) :, None]).sum())


def flat(scored: Sequence[Scored]) -> list[float]:
    return [value for question in scored for value in question.loglikelihoods]


@pytest.mark.parametrize("name", TASKS)
def test_every_tasks_choices(name: str) -> None:
    task = load_task(name)
    examples = [task.render(prompt, ROWS[name]) for prompt in task.prompts]
    expected = [plain(c, a) for e in examples for c, a in zip(e.contexts, e.answers, strict=True)]
    assert flat(score(MODEL, TOKENIZER, examples)) == pytest.approx(expected, abs=1e-4)


texts = st.text(alphabet="abc ?.\n", min_size=1, max_size=40).filter(lambda t: t.strip() == t)
questions = st.builds(
    lambda context, answers: example(context, *(f" {a}" for a in answers)),
    texts,
    st.lists(texts, min_size=2, max_size=3),
)


@settings(deadline=None, max_examples=25)
@given(st.lists(questions, min_size=1, max_size=6), st.one_of(st.none(), st.integers(1, 5)))
def test_batches_of_any_size_score_the_same(examples: list[Example], batch_size: int | None) -> None:
    scored = score(MODEL, TOKENIZER, examples, batch_size=batch_size)
    alone = [value for e in examples for value in flat(score(MODEL, TOKENIZER, [e], batch_size=1))]
    assert flat(scored) == pytest.approx(alone, abs=1e-4)


def test_a_context_that_does_not_fit_is_cut_on_the_left_and_counted() -> None:
    long, short = example("abc" * 50, " yes", " no"), example("abc", " yes", " no")
    scored = score(MODEL, TOKENIZER, [long, short], max_length=20)
    assert [question.cut for question in scored] == [True, False]
    assert scored[0].loglikelihoods[0] == pytest.approx(plain("abc" * 50, " yes", 20), abs=1e-4)


@pytest.mark.parametrize(("extra", "cut"), [(0, False), (1, True)])
def test_one_token_more_than_the_context_is_not_cut(extra: int, cut: bool) -> None:
    # The last token is predicted, not read.
    context = "c" * (30 + extra)
    answer = len(TOKENIZER.encode(" d", add_special_tokens=False))
    limit = len(TOKENIZER.encode("c" * 30)) + answer - 1
    assert score(MODEL, TOKENIZER, [example(context, " d", " d")], max_length=limit)[0].cut is cut


@pytest.mark.parametrize("answer", ["", " " + "long " * 30])
def test_an_answer_that_cannot_be_scored(answer: str) -> None:
    with pytest.raises(DataError, match="row 0: choice 1 has"):
        score(MODEL, TOKENIZER, [example("abc", " yes", answer)], max_length=20)


def test_an_empty_context_is_the_beginning_of_the_sequence() -> None:
    assert encode_pair(TOKENIZER, "", " yes") == ([0], TOKENIZER.encode(" yes", add_special_tokens=False))
    bare = tokenizer()
    bare.bos_token = bare.eos_token = None
    with pytest.raises(DataError, match="neither a beginning- nor an end-of-sequence token"):
        encode_pair(bare, "", " yes")


def test_a_text_with_its_own_beginning_gets_no_second_one() -> None:
    context, _ = encode_pair(TOKENIZER, "<s>Answer:", " yes")
    assert context == encode_pair(TOKENIZER, "Answer:", " yes")[0]


def test_white_space_before_the_answer_is_the_answers() -> None:
    assert encode_pair(TOKENIZER, "Answer: ", "yes") == encode_pair(TOKENIZER, "Answer:", " yes")


def test_a_tokenizer_that_merges_across_the_boundary() -> None:
    """`yes` is one token: of ` ye` + `s` the answer has none left, with `s no` it has what follows."""
    assert TOKENIZER.tokenize(" yes") == ["Ġyes"]
    assert encode_pair(TOKENIZER, "is ye", "s")[1] == []
    context, answer = encode_pair(TOKENIZER, "is y", "es no and no and no")
    assert context == TOKENIZER.encode("is y")
    assert answer == TOKENIZER.encode("is yes no and no and no")[len(context) :] != []


def test_what_a_scored_question_says() -> None:
    question = Scored((-4.0, -3.0, -9.0), (8, 3, 30), gold=2, cut=False)
    assert question.values("acc_norm") == pytest.approx([-0.5, -1.0, -0.3])
    assert (question.correct("acc"), question.correct("acc_norm")) == (False, True)
    beliefs = question.probabilities("acc")
    assert sum(beliefs) == pytest.approx(1)
    assert beliefs[1] / beliefs[0] == pytest.approx(math.e)
    assert question.margin("acc") == pytest.approx(beliefs[2] - beliefs[1])
    # Per character, times the mean length of 41 / 3 characters.
    beliefs = question.probabilities("acc_norm")
    assert math.log(beliefs[2] / beliefs[0]) == pytest.approx(0.2 * 41 / 3)
    assert question.margin("acc_norm") == pytest.approx(beliefs[2] - beliefs[0])
    assert question.margin("acc_norm") > 0 > question.margin("acc")
    tie = Scored((-1.0, -1.0), (1, 1), gold=1, cut=False)
    assert not tie.correct("acc")  # the first of equals, as lm_eval's argmax
    assert scoring.accuracy([question, tie], "acc_norm") == 0.5


def test_margins_compare_between_wordings_of_any_length() -> None:
    letter = Scored((-1.0, -2.0), (1, 1), gold=0, cut=False)
    sentence = Scored((-40.0, -41.0), (40, 40), gold=0, cut=False)
    assert letter.margin("acc_norm") == pytest.approx(sentence.margin("acc_norm"))


def test_prompts_are_ranked_by_accuracy_then_margin_then_name() -> None:
    task = load_task("piqa")  # its paper and harness wordings are the same text
    rows = [ROWS["piqa"], ROWS["piqa"] | {"goal": "To see an owl,", "label": 1}]
    ranking = rank_prompts(MODEL, TOKENIZER, task, rows).wordings
    assert {entry.prompt for entry in ranking} == set(task.prompts)
    order = [(entry.accuracy, entry.margin) for entry in ranking]
    assert order == sorted(order, reverse=True)
    names = [entry.prompt for entry in ranking]
    assert names.index("paper") > names.index("harness")
    best = score(MODEL, TOKENIZER, task.examples(names[0], rows))
    assert ranking[0].margin == pytest.approx(sum(q.margin("acc") for q in best) / 2)
    assert ranking[0].accuracy == scoring.accuracy(best, "acc")


def test_what_the_bootstrap_says_of_a_ranking() -> None:
    coin = [(n % 2 == 0, 0.1 if n % 2 == 0 else -0.1) for n in range(40)]
    sure = [(n % 10 != 0, 0.2) for n in range(40)]
    ranking = rank({"coin": coin, "sure": sure}, seed=1)
    first, second = ranking.wordings
    assert (first.prompt, first.accuracy, second.accuracy) == ("sure", 0.9, 0.5)
    low, high = first.accuracy_interval
    # The normal interval of 36 in 40 is 0.9 +- 0.093.
    assert low == pytest.approx(0.807, abs=0.04)
    assert high == pytest.approx(0.993, abs=0.04)
    assert first.margin_interval == pytest.approx((0.2, 0.2))
    assert first.first > 0.99
    assert ranking.held_out == pytest.approx(0.9, abs=0.02)
    assert first.first + second.first == 1


def test_choosing_among_equal_wordings_is_worth_no_more_than_chance_on_other_shots() -> None:
    dice = random.Random(0)
    answered = {str(n): [(dice.random() < 0.5, 0.0) for _ in range(30)] for n in range(8)}
    ranking = rank(answered, seed=1)
    best = ranking.wordings[0].accuracy
    assert best >= 0.6  # by luck
    assert ranking.held_out < best - 0.05
