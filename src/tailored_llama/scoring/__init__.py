"""Log-likelihoods and margins of choices: what accuracy and the choice of a prompt are made of.

requests   a question as token ids, tokenised and cut as lm_eval's HFLM does, so that the numbers agree
forest     which of these tokens are shared, and so computed once
forward    the computation
finite     what a model computes is checked to be finite numbers
choices    scores, accuracy and margin of questions
written    answers that are written, greedily; texts: how right they are
outcomes   how right and how sure, for tasks of either kind
rank       the same for every wording of a task
"""

from tailored_llama.scoring.choices import Scored, accuracy, score
from tailored_llama.scoring.finite import FiniteLogits, not_finite, require_finite_logits
from tailored_llama.scoring.forward import BATCH_TOKENS, can_branch, loglikelihoods
from tailored_llama.scoring.generation import Written, padding_id, text_ends, write
from tailored_llama.scoring.outcomes import Outcome, outcomes
from tailored_llama.scoring.rank import Effectiveness, Ranking, rank_prompts
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
    "Effectiveness",
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
    "write",
]
