"""The stages of a recipe's run, before anything is computed."""

from __future__ import annotations

from typing import Any

import pytest

from tailored_llama.recipe import load_recipe
from tailored_llama.workflows.course import course_of
from tailored_llama.workflows.outlook import Pace, about


def course(**changes: Any) -> dict[str, tuple[str, ...]]:
    """The stages of a recipe, and what each reads."""
    content = {"model": "world", "tasks": ["world_boolq"], "tune": {"prompt": "paper"}, **changes}
    return {step.name: step.needs for step in course_of(load_recipe(content)).steps}


def test_the_smallest_run() -> None:
    assert course(evaluate={"prompt": "harness"}) == {
        "prune": (),
        "tune-world_boolq": ("prune",),
        "tune-dense-world_boolq": (),
        "evaluate-dense-harness": (),
        "evaluate-pruned-harness": ("prune",),
        "evaluate-dense_tuned-harness-world_boolq": ("tune-dense-world_boolq",),
        "evaluate-tuned-harness-world_boolq": ("prune", "tune-world_boolq"),
    }


def test_every_stage_stands_behind_what_it_reads() -> None:
    found = course(
        tasks=["world_boolq", "world_piqa"], heal={"rounds": 3}, tune={"prompt": "auto"},
        export={"formats": ["hf", "gguf"]},
    )  # fmt: skip
    names = list(found)
    assert len(names) == len(set(names)) == 6 + 4 + 2 * (3 + 2 * 2) + 4
    for name, needs in found.items():
        assert all(names.index(need) < names.index(name) for need in needs)
    assert names[:6] == ["prune-1", "heal-1", "prune-2", "heal-2", "prune", "heal"]
    assert found["prune-2"] == ("heal-1",)
    assert found["evaluate-dense-same"] == ("tune-world_boolq", "tune-world_piqa"), "whose wording it takes"
    assert found["tune-dense-world_piqa"] == ("tune-world_piqa",)


def test_an_adapter_of_all_wordings_is_scored_in_the_one_that_is_named() -> None:
    found = course(tune={"prompt": "all"}, evaluate={"prompt": "cloze"})
    assert found["evaluate-tuned-cloze-world_boolq"] == ("prune", "tune-world_boolq")
    assert found["evaluate-dense-cloze"] == (), "no wording is chosen"
    assert not any("same" in name or "harness" in name for name in found)
    same = course(tune={"prompt": "all"})
    assert same["evaluate-dense-same"] == ("tune-world_boolq",), "whose most effective wording it takes"
    assert same["tune-dense-world_boolq"] == (), "all wordings as well"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "nothing to compute"), (0.2, "about 1 s"), (41.4, "about 41 s"), (100, "about 2 min"),
        (3000, "about 50 min"), (6000, "about 1.7 h"), (100_000, "about 28 h"), (900_000, "about 10 days"),
    ],
)  # fmt: skip
def test_an_estimate_has_few_digits(seconds: float, text: str) -> None:
    assert about(seconds) == text


def test_what_the_first_stages_took_corrects_the_rest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tailored_llama")
    now = [0.0]
    monkeypatch.setattr("tailored_llama.workflows.outlook.time.monotonic", lambda: now[0])
    pace = Pace({"a": 10.0, "b": 20.0, "c": 30.0})
    for name, took in (("a", 20.0), ("there", 1.0), ("b", 40.0), ("c", 1.0)):
        with pace.part(name):
            now[0] += took
    assert caplog.messages == [
        "stage 1 of 3: a; about 60 s left", "stage 2 of 3: b; about 2 min left",
        "stage 3 of 3: c; about 60 s left",
    ]  # fmt: skip
    unknown = Pace({"a": None, "b": 1.0}, "cell")
    with unknown.part("a"):
        pass
    assert caplog.messages[-1] == "cell 1 of 2: a"
