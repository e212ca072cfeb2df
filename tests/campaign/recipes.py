"""Generated recipes: valid ones run to their end or say why not, spoilt ones are refused in one line."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.campaign import child
from tests.campaign.bench import OUT, Bench
from tests.campaign.nasty import YAML
from tests.campaign.verdict import Outcome, check_left, check_stages, judge, nothing_lost

COUNT, SHORT = 160, 6
Document = dict[str, Any]
VERBS: dict[str, tuple[str, ...]] = {
    "run": ("run", "mine.yaml"),
    "plan": ("plan", "model", "--recipe", "mine.yaml"),
    "prune": ("prune", "model", "--recipe", "mine.yaml"),
    "tune": ("tune", "model", "--task", "mood/mood.yaml", "--recipe", "mine.yaml"),
    "evaluate": ("evaluate", "model", "--recipe", "mine.yaml"),
    "matrix": ("matrix", "mine.yaml"),
    "rank": ("prompts", "rank", "model", "mood/mood.yaml", "--recipe", "mine.yaml"),
}
OFTEN = ("run", "run", "run", "run", "plan", "plan", "prune", "tune", "evaluate", "matrix", "rank")


def case(bench: Bench, seed: int, folder: Path) -> Outcome:
    """Write a recipe, of which up to two values may be spoilt, and give it to a verb."""
    dice = random.Random(seed)
    bench.inputs(folder)
    document = _valid(dice)
    sets: list[str] = []
    for _ in range(dice.choice((0, 0, 1, 1, 2))):
        key, value = _spoilt(document, dice)
        if dice.random() < 0.3 and "\0" not in value:
            sets += ["--set", f"{key}={value}"]
        else:
            _put(document, key, value)
    text = "".join(f"{key}: {_flow(value)}\n" for key, value in document.items())
    (folder / "mine.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    verb = VERBS[dice.choice(OFTEN)]
    out = {"plan": ("--out", OUT + ".json"), "prompts": ()}.get(verb[0], ("--out", OUT))
    with nothing_lost(folder):
        verdict = judge(child.run((*verb, *sets, *out), folder))
    check_left(folder / OUT)
    if verb[0] in ("run", "matrix"):
        check_stages(folder / OUT)
    return "refused" if verdict == "refused" else "done"


def _valid(dice: random.Random) -> Document:
    """A recipe whose every value is allowed; together they may still ask for what cannot be."""
    some = dice.choice
    document: Document = {
        "model": "model",
        "seed": some(("1", "42", "0")),
        "tasks": "[mood/mood.yaml]",
        "prune": {
            "ratio": f"{dice.choice((0.1, 0.2, 0.5)) * dice.uniform(0.5, 1):.3f}",
            "of": some(("params", "params", "macs", "bytes", "units")),
            "units": some((
                "[heads, mlp]", "[mlp]", "[hidden]", "[layers]", "[heads, mlp, hidden]", "[query_heads]",
            )),
            "criterion": some((
                "random", "l1", "l2", "taylor", "taylor_vector", "taylor_second", "taylor_mix", "wanda",
                "fluctuation", "activation", "block_influence", "l2", "taylor", "taylor", "taylor", "taylor",
            )),
            "objective": some(("lm", "lm", "lm", "lm", "lm", "margin")),
            "reduce": some(("sum", "mean", "max", "prod", "first", "second")),
            "allocate": some(("uniform", "global")),
            "normalise": some(("auto", "none", "kind", "block")),
            "steps": some(("1", "1", "2")),
            "align": some(("1", "1", "4")),
            "alike": some(("false", "false", "true")),
            "reconstruct": some(("false", "false", "true")),
            "calibration": {"source": some(("world", "task", "story.txt")), "samples": "4", "length": "16"},
        },
        "tune": {
            "shots": some(("2", "4", "6")),
            "select": some(("balanced", "diverse")),
            "prompt": some(("auto", "plain", "asked")),
            "auto": some(("untuned", "untuned", "tuned")),
            "loss": some(("answer", "choice", "distill", "[answer, choice]", "{answer: 1, distill: 0.5}")),
            "lora": {
                "r": some(("1", "2")), "alpha": "4", "dropout": some(("0", "0.1")),
                "targets": some(("[q, v]", "[down]", "[q, k, v, o, gate, up, down]")),
                "dora": some(("false", "true")), "rslora": some(("false", "true")),
            },
            "epochs": some(("1", "2")),
            "batch_size": some(("1", "3", "64")),
            "learning_rate": some(("1e-4", "1e-2")),
            "warmup": some(("0", "0.5", "1")),
            "precision": some(("auto", "fp32", "bf16")),
        },
        "evaluate": {
            "prompt": some(("same", "same", "harness")),
            "limit": some(("3", "8", "null")),
            "fewshot": some(("0", "0", "2")),
            "perplexity": some(("[]", "[story.txt]", "[story.txt@16]")),
            "length": "32",
        },
        "export": {"formats": some(("[]", "[]", "[hf]", "[gguf]"))},
    }  # fmt: skip
    if dice.random() < 0.3:
        document["heal"] = {"rounds": some(("1", "2")), "texts": "4", "length": "6", "epochs": "1"}
    if dice.random() < 0.2:
        document["tune"]["replay"] = {"source": some(("story.txt", "world")), "share": "0.3", "length": "16"}
    if dice.random() < 0.2:
        document["tune"]["early_stop"] = {"share": "0.3", "patience": "1"}
    if dice.random() < 0.1:
        document["sweep"] = some(("{seed: [1, 2]}", "{tune.shots: [2, 4]}", "{prune.criterion: [l1, l2]}"))
    if dice.random() < 0.1:
        document["data"] = "{mood: mood}"
    return document


def _spoilt(document: Document, dice: random.Random) -> tuple[str, str]:
    """A dotted key, mostly one that there is, and a value that hardly fits it."""
    key = dice.choice(_keys(document))
    value = dice.choice(YAML)
    if dice.random() < 0.1:
        key += dice.choice(("x", ".x", ".", " ", "_"))
    elif dice.random() < 0.05:
        key, value = "sweep", "{" + f"{key}: [{value}]" + "}"
    return key, value


def _keys(document: Document, above: str = "") -> list[str]:
    found = []
    for key, value in document.items():
        found.append(above + key)
        if isinstance(value, dict):
            found += _keys(value, f"{above}{key}.")
    return found


def _put(document: Document, key: str, value: str) -> None:
    *above, last = key.split(".")
    for part in above:
        inner = document.setdefault(part, {})
        if not isinstance(inner, dict):
            inner = document[part] = {}
        document = inner
    document[last] = value


def _flow(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
