"""Metrics of generated answers: identical text, exact match and token F1 as in SQuAD, and ROUGE-L.

Each is between 0 and 1; of several references the best one counts.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from tailored_llama.data import Metric
from tailored_llama.scoring.normalisation import normalised, words_of


def text_scores(text: str, references: Sequence[str]) -> dict[Metric, float]:
    """`exact_match`, `f1`, `rougeL` and `exact` of `text` against the best of `references`."""
    return {
        "exact_match": max(float(normalised(text) == normalised(right)) for right in references),
        "f1": max(token_f1(text, right) for right in references),
        "rougeL": max(float(_rouge().score(right, text)["rougeL"].fmeasure) for right in references),
        "exact": max(float(_bare(text) == _bare(right)) for right in references),
    }


def token_f1(text: str, reference: str) -> float:
    """Harmonic mean of precision and recall over normalised words, with multiplicity (SQuAD)."""
    predicted, expected = normalised(text).split(), normalised(reference).split()
    if not predicted or not expected:
        return float(predicted == expected)
    common = (Counter(predicted) & Counter(expected)).total()
    return 2 * common / (len(predicted) + len(expected))


def _bare(text: str) -> str:
    """The text in Unicode form NFC, without leading and trailing white space."""
    return unicodedata.normalize("NFC", text.strip())


class _Words:
    """A tokenizer for rouge-score."""

    @staticmethod
    def tokenize(text: str) -> list[str]:
        return words_of(text)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # slow import (nltk), not needed for choices

    return RougeScorer(["rougeL"], tokenizer=_Words())
