"""Formatting of numbers, stages and sentences, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from tailored_llama import world
from tailored_llama.results import Results, Row, ShotsRecord, TaskFigures

LABELS: dict[str, str] = {
    "dense": "dense", "dense_tuned": "dense, tuned", "pruned": "pruned", "healed": "pruned, healed",
    "tuned": "pruned, tuned",
}  # fmt: skip
WORDINGS = {
    "same": "In the wording that each task was tuned in",
    "harness": "In the stock wording of lm-evaluation-harness",
    "stock": "In each task's stock wording: that of lm-evaluation-harness, else its first",
}
METRICS = {"exact_match": "exact match", "f1": "F1", "rougeL": "ROUGE-L", "exact": "exact text"}
"""Labels of the metrics of generated answers; those of choices are accuracies and need no label."""
SYNTHETIC = (
    "The bundled micro-world and other synthetic tasks are small tasks about a small closed world: compare "
    "their figures with one another, not with published tables."
)


def short(task: str) -> str:
    """A task's name without the bundled world's prefix."""
    return task.removeprefix(world.PREFIX)


def named(task: str, figures: TaskFigures) -> str:
    """A task's name, with its metric if that is not an accuracy."""
    metric = METRICS.get(figures.metric)
    return f"{short(task)} ({metric})" if metric else short(task)


def quantity(rows: Iterable[Row]) -> str:
    """`accuracy` if the means of these rows are accuracies, otherwise `score`."""
    metrics = {figures.metric for row in rows for figures in row.tasks.values()}
    return "score" if metrics & METRICS.keys() else "accuracy"


def wording(name: str) -> str:
    """The heading for a wording."""
    return WORDINGS.get(name, f"In the wording {name}")


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage; a dash if it is undefined."""
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def bare(value: float | None) -> str:
    """The same without the sign."""
    return percent(value).removesuffix("%")


def cut_prompts(row: Row) -> str:
    """A sentence about the tasks with truncated prompts; empty if there are none."""
    return _counted(
        row, "cut", "Prompts longer than the context or the task's max_length, truncated on the left"
    )


def unended(row: Row) -> str:
    """A sentence about the generated answers that reached the token limit; empty if there are none."""
    return _counted(row, "unended", "Answers that reached the token limit")


def _counted(row: Row, key: Literal["cut", "unended"], noun: str) -> str:
    tasks = [
        f"{short(name)} {figures[key]} of {figures.n}" for name, figures in row.tasks.items() if figures[key]
    ]
    return f"{noun}: {', '.join(tasks)}." if tasks else ""


def picked(shots: ShotsRecord) -> str:
    """The reason for the choice of `prompt: auto`, in sentences, from a shots.json."""
    best, *alternatives = shots.candidates
    tuned = shots.compared == "tuned"
    how = "by two-fold cross-validation" if tuned else "before any tuning"
    text = f"Chosen: “{best.prompt}”, the best on the {len(shots.rows)} shots {how}"
    if alternatives:
        equal = alternatives[0].accuracy == best.accuracy
        over = "by its margin, at the accuracy of" if equal else "in accuracy before"
        text += f", {over} “{alternatives[0].prompt}”"
    text += f"; it is the best in {percent(best.first, 0)} of 1000 resampled sets of shots."
    if shots.held_out is not None:
        text += f" Cross-validated score of this choice: {percent(shots.held_out)}."
    return text


def between(interval: Sequence[float], *, share: bool = False) -> str:
    """An interval: `61.2 to 80.0` for shares, `+0.102 to +0.310` for margins."""
    low, high = (f"{100 * value:.1f}" if share else f"{value:+.3f}" for value in interval)
    return f"{low} to {high}"


def points(figures: TaskFigures | None) -> str:
    """A task's main metric with its standard error, in points of 100."""
    if figures is None:
        return "–"
    spread = f" ± {100 * figures.stderr:.1f}" if figures.stderr is not None else ""
    return f"{100 * figures.main:.1f}{spread}"


def count(number: float) -> str:
    """A count in thousands, millions or billions: 1.23 M."""
    for size, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " K")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:g}"


def windows(results: Results) -> str:
    """A sentence about the perplexity windows; empty if none was measured."""
    lengths = {name: figures.length for row in results.main_rows for name, figures in row.perplexity.items()}
    if not lengths:
        return ""
    different = list(dict.fromkeys(lengths.values()))
    parts = [
        f"{n} ({', '.join(name for name in lengths if lengths[name] == n)})" if different[1:] else str(n)
        for n in different
    ]
    return f"Perplexity over windows of {' and '.join(parts)} tokens."


def size(number: float) -> str:
    """Bytes in binary units: 9.6 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:.3g} {unit}"
        number /= 1024
    raise AssertionError


def headline(stages: Mapping[str, Row], shots: int) -> list[str]:
    """The main results of one wording, in sentences."""
    dense, pruned, tuned = (stages.get(name) for name in ("dense", "pruned", "tuned"))
    sentences = []
    noun = quantity(stages.values())
    if dense and pruned:
        kept_share = pruned.params / dense.params
        sentences.append(
            f"{percent(1 - kept_share, 0)} of the parameters were removed: {count(dense.params)} became "
            f"{count(pruned.params)}. Pruned and not tuned, the model keeps "
            f"{percent(pruned.recovery)} of the dense model’s mean {noun}."
        )
    healed = stages.get("healed")
    if healed:
        sentences.append(
            "Healed on text that the dense model generates, before any tuning, it keeps "
            f"{percent(healed.recovery)}."
        )
    if tuned:
        sentences.append(
            f"Tuned on {shots} examples per task it recovers {percent(tuned.recovery)}, and "
            f"{percent(tuned.recovery_above_chance)} above chance."
        )
    fair = stages.get("dense_tuned")
    if dense and tuned and fair and fair.mean and dense.mean and tuned.mean is not None:
        sentences.append(
            f"The same tuning takes the dense model to {percent(fair.mean / dense.mean)}; relative to it, "
            f"the small model reaches {percent(tuned.mean / fair.mean)}."
        )
    return sentences or [f"Mean {noun} {percent(row.mean).removesuffix('%')}." for row in stages.values()]
