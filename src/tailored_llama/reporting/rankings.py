"""The wordings of a task in order, as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from tailored_llama.reporting.fold import WIDTH, fold
from tailored_llama.reporting.formatting import between, percent
from tailored_llama.results import PromptRanking


def ranking_tables(ranking: PromptRanking, width: int = WIDTH) -> list[Table]:
    """Effectiveness and, where it was measured, specificity; each table fits `width` characters."""
    tuned = ranking.compared == "tuned"
    made = fold(
        "Two-fold cross-validation on the shots" if tuned else "Before any tuning",
        ["prompt", "accuracy", "95%", "margin", "95%", "first"],
        [
            [
                entry.prompt, percent(entry.accuracy), between(entry.accuracy_interval, share=True),
                f"{entry.margin:+.3f}", between(entry.margin_interval), percent(entry.first),
            ]
            for entry in ranking.wordings
        ],
        caption=f"cross-validated score of this choice: {percent(ranking.held_out)}",
        width=width,
    )  # fmt: skip
    if ranking.specificity:
        made += fold(
            "What tuning gains in margin",
            ["prompt", "own", "others", "specificity", "95%"],
            [
                [
                    entry.prompt, f"{entry.own:+.3f}", f"{entry.others:+.3f}", f"{entry.specificity:+.3f}",
                    between(entry.specificity_interval),
                ]
                for entry in ranking.specificity
            ],
            width=width,
        )  # fmt: skip
    return made
