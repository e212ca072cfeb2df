"""How right a written answer is: exact match and token F1 as SQuAD counts them, and ROUGE-L.

Each is between 0 and 1, and of several right texts the best one counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from tailored_llama.data import Metric

PUNCTUATION = str.maketrans("", "", string.punctuation)


def text_scores(text: str, references: Sequence[str]) -> dict[Metric, float]:
    """`exact_match`, `f1` and `rougeL` of `text` against the best of `references`."""
    return {
        "exact_match": max(float(normalised(text) == normalised(right)) for right in references),
        "f1": max(token_f1(text, right) for right in references),
        "rougeL": max(float(_rouge().score(right, text)["rougeL"].fmeasure) for right in references),
    }


def normalised(text: str) -> str:
    """Without case, punctuation, articles and spare white space (Rajpurkar et al. 2016, SQuAD)."""
    bare = re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(PUNCTUATION))
    return " ".join(bare.split())


def token_f1(text: str, right: str) -> float:
    """Harmonic mean of precision and recall over normalised words, as often as they stand there (SQuAD)."""
    ours, theirs = normalised(text).split(), normalised(right).split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = (Counter(ours) & Counter(theirs)).total()
    return 2 * common / (len(ours) + len(theirs))


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # brings nltk, a second that choices should not wait

    return RougeScorer(["rougeL"], use_stemmer=False)
