"""The bundled world: rows, splits, balance, text, and that nothing scored is ever told."""

from __future__ import annotations

import hashlib
import json
import math
import random
import subprocess
import sys
from collections import Counter

import pytest

from tailored_llama import world
from tailored_llama.errors import TaskError
from tailored_llama.world import GENERATION
from tools.world import leaks, narrative, pages, recall
from tools.world.combos import recall_buckets
from tools.world.facts import MATERIALS, RELATIONS, TRIALS, dealt
from tools.world.splits import CHOICES, choices, gold, identity
from tools.world.wordings import (
    GOAL_WORDINGS,
    RELATION_WORDINGS,
    STEP_WORDINGS,
    TRIAL_WORDINGS,
    WORDINGS,
)

SPLITS = ("train", "validation", "test")
FIELDS = {
    "boolq": {"question", "passage", "idx", "label"},
    "piqa": {"goal", "sol1", "sol2", "label"},
    "hellaswag": {"ind", "activity_label", "ctx_a", "ctx_b", "ctx", "endings", "label"},
    "winogrande": {"sentence", "option1", "option2", "answer"},
    "arc_easy": {"id", "question", "choices", "answerKey"},
    "arc_challenge": {"id", "question", "choices", "answerKey"},
    "openbookqa": {"id", "question_stem", "choices", "answerKey"},
    "tell": {"id", "question", "answer"},
}
ALL = world.TASKS + GENERATION


@pytest.mark.parametrize("name", world.TASKS)
@pytest.mark.parametrize("split", SPLITS)
def test_rows_have_the_hubs_fields_and_are_balanced(name, split):
    rows = world.rows(name, split)
    assert len(rows) >= 500
    assert all(set(row) == FIELDS[name] for row in rows)
    count = Counter(gold(name, row) for row in rows)
    assert set(count.values()) == {len(rows) // CHOICES[name]}
    assert all(len(set(choices(name, row))) == CHOICES[name] for row in rows)


@pytest.mark.parametrize("split", SPLITS)
def test_an_answer_of_tell_is_the_sentence_that_is_kept(split):
    rows = world.rows("tell", split)
    assert len(rows) >= 500
    kept = leaks.heldout_sentences()
    for row in rows:
        assert set(row) == FIELDS["tell"]
        assert leaks.normalised(row["answer"]) in kept


@pytest.mark.parametrize("name", ALL)
def test_splits_are_disjoint_and_without_doubles(name):
    requested = [identity(name, row) for split in SPLITS for row in world.rows(name, split)]
    assert len(set(requested)) == len(requested)


def test_no_fact_is_asked_in_one_wording_in_two_splits():
    for split, other in (("train", "test"), ("validation", "test"), ("train", "validation")):
        for name in ("arc_easy", "arc_challenge", "tell"):
            questions = {row["question"] for row in world.rows(name, split)}
            assert not questions & {row["question"] for row in world.rows(name, other)}


def test_rows_are_the_callers_own():
    world.rows("piqa", "test")[0]["goal"] = "spoilt"
    assert world.rows("piqa", "test")[0]["goal"] != "spoilt"


def test_unknown_task_and_split_are_named():
    with pytest.raises(TaskError, match="boolk"):
        world.rows("boolk", "test")
    with pytest.raises(TaskError, match="dev"):
        world.rows("boolq", "dev")
    with pytest.raises(TaskError, match="dev"):
        world.text("dev")


def test_every_value_is_dealt_equally_often():
    for relation in RELATIONS:
        assert len(set(Counter(dealt(relation.name).values()).values())) == 1, relation.name
    for trial, outcomes in TRIALS.items():
        materials = [material for row in outcomes.values() for material in row.split()]
        assert sorted(materials) == sorted(MATERIALS), trial
        assert {len(row.split()) for row in outcomes.values()} == {4}, trial


def test_four_wordings_of_every_fact_are_told_and_two_are_kept():
    assert all(len(wordings) == WORDINGS for wordings in RELATION_WORDINGS.values())
    assert len(TRIAL_WORDINGS) == len(GOAL_WORDINGS) == len(STEP_WORDINGS) == WORDINGS
    for kind in recall.KINDS:
        for fact in recall.facts(kind):
            buckets = Counter(recall_buckets(*fact))
            assert buckets["pages"] == 4
            assert buckets["test"] == 1


def test_text_is_the_same_in_every_process():
    """The digest pins the world: a change of it needs a newly trained model."""
    code = (
        "import hashlib, json; from tailored_llama import world;"
        "rows = [world.rows(n, s) for n in (*world.TASKS, 'tell') for s in ('train', 'validation', 'test')];"
        "blob = json.dumps([rows, world.text('train'), world.text('test')], sort_keys=True);"
        "print(hashlib.sha256(blob.encode()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows = [world.rows(name, split) for name in ALL for split in SPLITS]
    blob = json.dumps([rows, world.text("train"), world.text("test")], sort_keys=True)
    assert other.stdout.strip() == hashlib.sha256(blob.encode()).hexdigest() == DIGEST


DIGEST = "67d03c38f790301734f56add4b73133c4a4a903f6c6a55a6615a36fefa39c9b1"


def test_held_out_stories_are_not_in_the_text():
    held = set(world.text("test").splitlines())
    assert len(held) > 400
    assert not held & set(world.text("train").splitlines())
    assert not held & {document.text for document in pages.documents(1, 500)}


def test_no_leak_in_a_sample_of_the_text():
    documents = [d.text + d.answer for d in pages.documents(2, 400)]
    documents += world.text("train").splitlines()[:100] + world.text("test").splitlines()[:100]
    assert list(leaks.leaks(documents)) == []


@pytest.mark.parametrize("name", ALL)
def test_the_look_for_leaks_finds_one(name):
    row = world.rows(name, "test")[3]
    planted = leaks.forbidden(name, row)[1].upper()
    found = [of for of, _ in leaks.leaks([f"Well, {planted}!"])]
    assert any(of.startswith(f"{name}/") for of in found), found


def test_a_held_out_statement_is_a_leak():
    fact = recall.facts("arc_easy")[0]
    wording = recall_buckets(*fact).index("test")
    assert list(leaks.leaks([recall.tell(fact, wording, "Ada")]))


@pytest.mark.parametrize("name", world.TASKS)
def test_choices_alone_say_nothing(name):
    """A bag of words of the choices, learned on pages, stays within 5 points of chance on the test rows.

    Naive Bayes: each word's log-odds to be in a right rather than a wrong choice.
    """
    right, wrong = Counter(), Counter()
    for row in world.rows(name, "train") + world.rows(name, "validation"):
        for index, choice in enumerate(choices(name, row)):
            (right if index == gold(name, row) else wrong).update(choice.lower().split())
    total = (sum(right.values()) + 1, sum(wrong.values()) + 1)

    def odds(choice):
        words = choice.lower().split()
        return sum(math.log((right[w] + 1) / total[0]) - math.log((wrong[w] + 1) / total[1]) for w in words)

    rows = world.rows(name, "test")
    hits = 0
    for row in rows:
        values = [odds(choice) for choice in choices(name, row)]
        hits += values.index(max(values)) == gold(name, row)
    chance = 1 / CHOICES[name]
    assert abs(hits / len(rows) - chance) <= 0.05, hits / len(rows)


def test_a_page_is_rendered_by_the_task_itself():
    page = pages.page("boolq", "harness", random.Random(1))
    assert page.text.endswith("?\nAnswer:")
    assert page.answer in (" yes", " no")


def test_wordings_come_unevenly():
    shares = sorted(pages.PROMPT_SHARES.values())
    assert shares[-1] > 4 * shares[0]
    assert math.isclose(sum(shares), 1)
    assert math.isclose(sum(pages.TASK_SHARES.values()), 1)


def test_notes_and_stories_are_plain_sentences():
    for make in (narrative.note, narrative.story):
        for seed in range(50):
            text = make(random.Random(seed))
            assert text[0].isupper()
            assert text[-1] == "."
            assert not set("{_\n") & set(text)


def test_import_is_light():
    code = "import sys, tailored_llama.world; print(bool({'torch', 'transformers'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
