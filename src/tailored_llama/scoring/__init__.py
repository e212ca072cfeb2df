"""Scoring of questions: log-likelihoods, margins and generated answers, for accuracy and prompt selection.

requests      questions as token ids, tokenised and truncated as in lm_eval's HFLM, so that the numbers agree
forest        tokens that several sequences share, so that they are computed once
forward       the computation of log-likelihoods
finite        checks that model outputs are finite
choices       scores, accuracy and margins of multiple-choice questions
generation    greedy generation of answers; text_metrics: their scores
outcomes      score and margin of each question, for tasks of either kind
rank          ranking of the wordings of a task
bootstrap     confidence intervals
"""

from tailored_llama.scoring.choices import Scored, accuracy, score
from tailored_llama.scoring.finite import FiniteLogits, not_finite, require_finite_logits
from tailored_llama.scoring.forward import BATCH_TOKENS, can_branch, loglikelihoods
from tailored_llama.scoring.generation import Written, padding_id, text_ends, without_generation_config, write
from tailored_llama.scoring.outcomes import Outcome, outcomes
from tailored_llama.scoring.rank import Ranking, rank_prompts
from tailored_llama.scoring.requests import (
    Request,
    context_length,
    embedding_rows,
    encode_pair,
    example_length,
    requests,
)
from tailored_llama.scoring.text_metrics import text_scores

__all__ = [
    "BATCH_TOKENS",
    "FiniteLogits",
    "Outcome",
    "Ranking",
    "Request",
    "Scored",
    "Written",
    "accuracy",
    "can_branch",
    "context_length",
    "embedding_rows",
    "encode_pair",
    "example_length",
    "loglikelihoods",
    "not_finite",
    "outcomes",
    "padding_id",
    "rank_prompts",
    "requests",
    "require_finite_logits",
    "score",
    "text_ends",
    "text_scores",
    "without_generation_config",
    "write",
]
