"""No JSON of this package holds a bare NaN or Infinity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailored_llama.checkpoint import write_json
from tailored_llama.cli.show import show_facts
from tailored_llama.errors import OutputError
from tailored_llama.results import PlanSource
from tailored_llama.stages.prune.plan import Plan
from tailored_llama.strict_json import to_json

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"rows": [{"mean": 0.5}, {"mean": NAN}]}, "rows.1.mean is nan"),
        ({"a": {"b": (1.0, -INF)}}, "a.b.1 is -inf"),
        ([INF], "0 is inf"),
        (NAN, "the result is nan"),
    ],
)
def test_a_number_that_is_none_is_named(content: object, place: str) -> None:
    with pytest.raises(OutputError, match=place):
        to_json(content)


def test_what_is_finite_is_written_as_json_writes_it() -> None:
    content = {"é": [1, 2.5, None, True, "NaN", 1e308], "b": {"c": ()}}
    assert to_json(content) == json.dumps(content)
    assert to_json(content, indent=2, ensure_ascii=False) == json.dumps(content, indent=2, ensure_ascii=False)


def test_a_file_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_json(file, {"mean": 1.0})
    before = file.read_bytes()
    with pytest.raises(OutputError, match=f"{file}: mean is nan"):
        write_json(file, {"mean": NAN})
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_standard_output_and_plans_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OutputError, match="loss is inf"):
        show_facts({"loss": INF}, as_json=True)
    assert not capsys.readouterr().out
    with pytest.raises(OutputError, match="ratio is nan"):
        Plan(PlanSource(), {}, {}, {"ratio": NAN}).to_json()
