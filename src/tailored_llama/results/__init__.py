"""Typed results: `results.json`, `sweep.json` and `matrix.json`, each read and written by one model."""

from tailored_llama.results.records import Record, parse
from tailored_llama.results.rows import (
    SCHEMA,
    STAGES,
    CorpusFigures,
    Results,
    Row,
    Sample,
    StageName,
    TaskFigures,
    combine,
    mean,
    read_results,
    recovery,
    results_of,
)
from tailored_llama.results.sweeps import (
    CellState,
    Estimate,
    MatrixResults,
    Setting,
    StageSummary,
    SweepResults,
)

__all__ = [
    "SCHEMA",
    "STAGES",
    "CellState",
    "CorpusFigures",
    "Estimate",
    "MatrixResults",
    "Record",
    "Results",
    "Row",
    "Sample",
    "Setting",
    "StageName",
    "StageSummary",
    "SweepResults",
    "TaskFigures",
    "combine",
    "mean",
    "parse",
    "read_results",
    "recovery",
    "results_of",
]
