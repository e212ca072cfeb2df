"""Renders docs/lab/real.md from the stored figures: the text is page.md.jinja, the tables are made here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from tailored_llama.workflows.sweep.cells import Cell

TEMPLATE = Path(__file__).with_name("page.md.jinja")
FIRST_LOOK = "first-look.json"
RUNS = "single"
WORDINGS = {"same": "in the tuned wording", "harness": "in lm_eval's wording"}
DASH = "\N{EN DASH}"
Kept = dict[str, Any]


def render(figures: Path, missing: Mapping[str, Sequence[Cell]]) -> str:
    """The page, from the files in `figures` and the list of missing cells."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    cells = {recipe: kept(figures / recipe) for recipe in missing}
    first = json.loads((figures / FIRST_LOOK).read_text(encoding="utf-8"))
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        cut={share: cut_table(cells["lab-real-cut"], ratio) for share, ratio in ((20, 0.2), (39, 0.39))},
        heal=heal_table(cells["lab-real-heal"]),
        whole={
            share: whole_table(cells["lab-real-whole"], ratio) for share, ratio in ((20, 0.2), (39, 0.39))
        },
        runs=[run_section(run) for run in kept(figures / RUNS)],
        first=first,
        first_cuts=first_cut_table(first["cuts"]),
        first_heals=first_heal_table(first["heals"]),
        missing={recipe: [cell.name for cell in open_cells] for recipe, open_cells in missing.items()},
        done={recipe: len(finished) for recipe, finished in cells.items()},
    )


def kept(folder: Path) -> list[Kept]:
    """The stored figures of a recipe's finished cells."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, or a sentence if it would be empty."""
    if not rows:
        return "No cell is finished yet.\n"
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def stage(cell: Kept, name: str) -> Kept | None:
    """The row of a stage; None if the cell has none."""
    return next((row for row in cell["rows"] if row["stage"] == name), None)


def divergence(row: Kept) -> float:
    """Mean KL of a row over its texts."""
    values: list[float] = [text["kl"] for text in row["perplexity"].values()]
    return sum(values) / len(values)


def scored(row: Kept | None, texts: Sequence[str]) -> list[str]:
    """Divergence, perplexities and accuracy of a row, as table cells."""
    if row is None:
        return [DASH] * (len(texts) + 2)
    count = sum(task["n"] for task in row["tasks"].values())
    error = sum((task["stderr"] or 0) ** 2 for task in row["tasks"].values()) ** 0.5 / len(row["tasks"])
    return [
        f"{divergence(row):.3f}",
        *(f"{row['perplexity'][text]['perplexity']:.1f}" for text in texts),
        f"{100 * row['mean']:.1f} ± {100 * error:.1f} (of {count})",
    ]


def by_stage(cells: Sequence[Kept], stages: Sequence[str], key: Callable[[Kept], float]) -> str:
    """One line per cell, best first, after the unpruned model."""
    if not cells:
        return table([], [])
    dense = stage(cells[0], "dense")
    assert dense is not None
    texts = list(dense["perplexity"])
    names = [
        *(f"{'' if len(stages) == 1 else s + ': '}{c}" for s in stages for c in ["KL", *texts, "accuracy"])
    ]
    first = ["unpruned", *scored(dense, texts), *[DASH] * ((len(texts) + 2) * (len(stages) - 1))]
    rows = [
        [cell["chosen"]["variant"], *(entry for s in stages for entry in scored(stage(cell, s), texts))]
        for cell in sorted(cells, key=key)
    ]
    return table(["setting", *names], [first, *rows])


def _of(name: str) -> Callable[[Kept], float]:
    def key(cell: Kept) -> float:
        row = stage(cell, name)
        return divergence(row) if row else float("inf")

    return key


def cut_table(cells: Sequence[Kept], ratio: float) -> str:
    """The table of single changes of the cut at one ratio."""
    own = [cell for cell in cells if cell["chosen"]["prune.ratio"] == ratio]
    return by_stage(own, ["pruned"], _of("pruned"))


def heal_table(cells: Sequence[Kept]) -> str:
    """The table of single changes of healing."""
    return by_stage(cells, ["pruned", "healed"], _of("healed"))


def whole_table(cells: Sequence[Kept], ratio: float) -> str:
    """The table of complete runs at one ratio: means over the seeds, with standard errors."""
    ways: dict[str, list[Kept]] = {}
    for cell in cells:
        if cell["chosen"]["prune.ratio"] == ratio:
            ways.setdefault(cell["chosen"]["variant"], []).append(cell)
    rows = []
    for way, own in ways.items():
        for name in dict.fromkeys(row["stage"] for row in own[0]["rows"]):
            figures = [compared(cell, name) for cell in own]
            cells_of_row = [spread([figure[key] for figure in figures]) for key in figures[0]]
            rows.append([f"{way}: {name.replace('_', ', ')}", str(len(own)), *cells_of_row])
        floors = [list(cell["majority"].values()) for cell in own if "majority" in cell]
        floor = spread([100 * sum(values) / len(values) for values in floors])
        rows.append([f"{way}: majority", str(len(own)), floor, *[DASH] * 5])
    columns = ["row", "seeds", "mean", "of dense", "above chance", "above chance, of dense, tuned"]
    dropped = sorted({name for own in ways.values() for cell in own for name in below_chance(cell)})
    columns.append(f"of dense, without {', '.join(dropped)}" if dropped else "of dense, dense above chance")
    return table([*columns, "perplexity, times dense"], rows)


def run_section(run: Kept) -> str:
    """One run of a recipe: a table for each wording, and accuracies by task."""
    text = [
        f"### One run of `{run['recipe']}`, seed {run['seed']}, first {run['limit']} rows of each task\n\n"
    ]
    for wording, name in WORDINGS.items():
        own = {**run, "rows": [row for row in run["rows"] if row["prompt"] == wording]}
        if own["rows"]:
            text.append(f"{name[0].upper()}{name[1:]}:\n\n{run_table(own)}\n")
    if not run["finished"]:
        text.append("The run was interrupted before it had scored the other wording.\n\n")
    by_task = [row for row in run["rows"] if row["prompt"] == "same" and row["task_tuned"] is None]
    tasks = list(by_task[0]["tasks"])
    rows = [
        [row["stage"].replace("_", ", "), *(f"{100 * row['tasks'][task]['main']:.1f}" for task in tasks)]
        for row in by_task
    ]
    if "majority" in run:
        rows.append(["majority", *(f"{100 * run['majority'][task]:.1f}" for task in tasks)])
    rows.append(["chance", *(f"{100 * by_task[0]['tasks'][task]['chance']:.1f}" for task in tasks)])
    return "".join([*text, table(["by task, in the tuned wording", *tasks], rows)])


def run_table(run: Kept) -> str:
    """The rows of a run in one wording, in percent of the unpruned model."""
    names = list(dict.fromkeys(row["stage"] for row in run["rows"]))
    rows = [
        [name.replace("_", ", "), *map(spread, ([value] for value in compared(run, name).values()))]
        for name in names
    ]
    dropped = ", ".join(below_chance(run))
    return table(
        [
            "row", "mean", "of dense", "above chance", "above chance, of dense, tuned",
            f"of dense, without {dropped}" if dropped else "of dense, dense above chance",
            "perplexity, times dense",
        ],
        rows,
    )  # fmt: skip


def below_chance(cell: Kept) -> list[str]:
    """The tasks on which the unpruned model is below chance."""
    dense = next(row for row in cell["rows"] if row["stage"] == "dense")
    return [name for name, task in dense["tasks"].items() if task["main"] < task["chance"]]


def compared(cell: Kept, name: str) -> dict[str, float | None]:
    """The stage's row with each task's own adapter, in percent of the unpruned model."""
    rows = {row["stage"]: row for row in cell["rows"] if row["task_tuned"] is None}
    own, dense, tuned = rows[name], rows["dense"], rows.get("dense_tuned")

    dropped = below_chance(cell)

    def mean(row: Kept) -> float:
        values = [task["main"] for task_name, task in row["tasks"].items() if task_name not in dropped]
        return float(sum(values) / len(values))

    def above(other: Kept | None) -> float | None:
        if other is None or other["mean"] <= other["chance"]:
            return None
        return float(100 * (own["mean"] - own["chance"]) / (other["mean"] - other["chance"]))

    texts = own["perplexity"]
    ratios = [texts[text]["perplexity"] / dense["perplexity"][text]["perplexity"] for text in texts]
    return {
        "mean": 100 * own["mean"], "of_dense": 100 * own["mean"] / dense["mean"], "above": above(dense),
        "above_tuned": above(tuned), "without": 100 * mean(own) / mean(dense),
        "perplexity": sum(ratios) / len(ratios) if ratios else None,
    }  # fmt: skip


def spread(values: Sequence[float | None]) -> str:
    """A mean, with its standard error if there are several values."""
    known = [value for value in values if value is not None]
    if not known:
        return DASH
    center = sum(known) / len(known)
    if len(known) == 1:
        return f"{center:.2f}"
    error = (sum((v - center) ** 2 for v in known) / (len(known) - 1) / len(known)) ** 0.5
    return f"{center:.2f} ± {error:.2f}"


def first_cut_table(cuts: Sequence[Kept]) -> str:
    """The table of the first cuts, made by library calls."""
    rows = []
    for cut in cuts:
        figures = [part for text in ("wikitext2", "c4") for part in _figures(cut[text])]
        rows.append([cut["name"], f"{100 * cut['ratio']:.0f}%", *figures])
    return table(["cut", "gone", "wikitext2: perplexity", "KL", "C4: perplexity", "KL"], rows)


def _figures(text: Kept) -> tuple[str, str]:
    return f"{text['ppl']:.1f}", f"{text['kl']:.3f}"


def first_heal_table(heals: Sequence[Kept]) -> str:
    """The table of the first healings."""
    rows = []
    for heal in heals:
        before, after = heal["pruned"], heal["healed"]
        changes = [f"{before[text]:.1f} to {after[text]:.1f}" for text in ("wikitext2", "c4")]
        losses = f"{heal['first_loss']:.2f} to {heal['last_loss']:.2f}"
        rows.append([heal["name"], f"{heal['tokens']:,}", *changes, losses, f"{heal['cpu']:.0f}"])
    columns = ["healing", "tokens", "wikitext2: perplexity", "C4: perplexity", "loss", "CPU seconds"]
    return table(columns, rows)
