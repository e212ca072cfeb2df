"""Every verb that prints a table has `--json`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailored_llama.cli import execute

UNITS = ["heads", "query_heads", "mlp", "hidden", "layers"]
PROMPTS = ["paper", "harness", "instruct", "choices", "cloze"]


@pytest.mark.parametrize(
    ("words", "key", "row"),
    [
        (
            ["families"],
            "families",
            {
                "name": "llama",
                "units": UNITS,
                "gguf": "llama, deci where layers differ",
                "gguf_import": "yes",
            },
        ),
        (
            ["criteria"],
            "criteria",
            {"name": "l2", "reference": "Ma et al. 2023 (LLM-Pruner), the L2 baseline"},
        ),
        (["tasks"], "tasks", {"name": "boolq", "metric": "acc", "prompts": PROMPTS}),
    ],
)
def test_what_is_there(
    capsys: pytest.CaptureFixture[str], words: list[str], key: str, row: dict[str, Any]
) -> None:
    assert execute(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert execute([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)[key]
    assert [line.split()[0] for line in lines] == [each["name"] for each in rows]
    (found,) = [each for each in rows if each["name"] == row["name"]]
    assert found == row


def test_prompts(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["prompts", "show", "world_boolq"]) == 0
    text = capsys.readouterr().out
    assert execute(["prompts", "show", "world_boolq", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "world_boolq"
    for prompt in found["prompts"]:
        assert f"--- {prompt['name']}\n" in text
        right = prompt["gold"]
        assert f"[{prompt['answers'][right]}]" in text
        assert prompt["contexts"][0] in text
