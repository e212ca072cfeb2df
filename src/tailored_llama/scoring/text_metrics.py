"""How right a written answer is: the text itself, exact match and token F1 after SQuAD, and ROUGE-L.

Each is between 0 and 1, and of several right texts the best one counts.
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


def token_f1(text: str, right: str) -> float:
    """Harmonic mean of precision and recall over normalised words, as often as they stand there (SQuAD)."""
    ours, theirs = normalised(text).split(), normalised(right).split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = (Counter(ours) & Counter(theirs)).total()
    return 2 * common / (len(ours) + len(theirs))


def _bare(text: str) -> str:
    """The text without white space at its ends, in one of the ways in which Unicode spells it (NFC)."""
    return unicodedata.normalize("NFC", text.strip())


class _Words:
    """The words that ROUGE-L compares, in the form in which rouge-score takes a tokenizer."""

    @staticmethod
    def tokenize(text: str) -> list[str]:
        return words_of(text)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # brings nltk, a second that choices should not wait

    return RougeScorer(["rougeL"], tokenizer=_Words())
