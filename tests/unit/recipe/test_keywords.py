"""The settings of a stage as one object or as keywords."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import pytest

from tailored_llama import evaluate, heal
from tailored_llama.errors import RecipeError
from tailored_llama.recipe import (
    Calibration,
    Distill,
    EarlyStop,
    Evaluate,
    Heal,
    HealLora,
    HealText,
    Lora,
    Measure,
    Prune,
    Replay,
    Strict,
    Tune,
    settings_of,
)
from tailored_llama.recipe.keywords import (
    CalibrationKeys,
    DistillKeys,
    EarlyStopKeys,
    EvaluateKeys,
    HealKeys,
    HealTextKeys,
    LoraKeys,
    MeasureKeys,
    PruneKeys,
    ReplayKeys,
    TuneKeys,
)


@pytest.mark.parametrize(
    ("settings", "keywords", "apart"),
    [
        (Prune, PruneKeys, set()),
        (Heal, HealKeys, set()),
        (Tune, TuneKeys, set()),
        (Evaluate, EvaluateKeys, {"tasks"}),
        (Measure, MeasureKeys, set()),
        (Calibration, CalibrationKeys, set()),
        (Lora, LoraKeys, set()),
        (HealLora, LoraKeys, set()),
        (Distill, DistillKeys, set()),
        (HealText, HealTextKeys, set()),
        (Replay, ReplayKeys, set()),
        (EarlyStop, EarlyStopKeys, set()),
    ],
)
def test_keywords_are_the_fields(settings: type[Strict], keywords: Any, apart: set[str]) -> None:
    assert set(get_type_hints(keywords)) == set(settings.model_fields) - apart


def test_keywords_go_on_top_of_settings() -> None:
    assert settings_of(Heal, None, "heal") == Heal()
    given = Heal(texts=500, epochs=4)
    assert settings_of(Heal, given, "heal", epochs=1) == Heal(texts=500, epochs=1)
    with pytest.raises(RecipeError, match=r"heal: unknown key 'epoch' \(did you mean 'epochs'\?\)"):
        settings_of(Heal, given, "heal", epoch=1)


def test_heal_takes_its_fields_as_keywords() -> None:
    with pytest.raises(RecipeError, match=r"heal: .*texts"):
        heal("world", teacher="world", tasks=["world_boolq"], texts=0)


def test_evaluate_takes_settings(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Once upon a time there was a house. " * 20)
    requested: dict[str, Any] = {"perplexity": [str(text)], "length": 16}
    row = evaluate("world", **requested)
    same = evaluate("world", settings=Evaluate(**requested))
    other = evaluate("world", settings=Evaluate(**requested | {"length": 64}), perplexity=[text], length=16)
    times = {"seconds", "peak_memory"}
    assert row.perplexity
    assert row.model_dump(exclude=times) == same.model_dump(exclude=times) == other.model_dump(exclude=times)
    with pytest.raises(RecipeError, match="evaluate: fewshot"):
        evaluate("world", fewshot=-1, **requested)


def test_settings_name_the_tasks() -> None:
    settings = Evaluate(tasks=("world_boolq",), limit=4)
    row = evaluate("world", settings=settings)
    assert list(row.tasks) == ["world_boolq"]
    assert row.prompt == "harness", "`same` has no tuned wording to be the same as"
    assert list(evaluate("world", tasks="world_piqa", settings=settings).tasks) == ["world_piqa"]
