"""Our scorer as a model of lm_eval: `--model tailor` takes all that `--model hf` takes, and is faster.

Importing this module registers the name; `python -m tailored_llama.integrations.lm_eval` is lm_eval's
own command line after that import.
"""

from __future__ import annotations

from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel

from tailored_llama.scoring import loglikelihoods

Tokenised = tuple[tuple[str, str] | None, list[int], list[int]]


@register_model("tailor")
class Tailor(HFLM):  # type: ignore[misc]
    """HFLM (lm_eval 0.4.13), but that what the requests begin with alike is computed once.

    The log-likelihoods are HFLM's up to rounding, with a softmax in fp32. How many tokens run together is
    not `batch_size` but a constant of the scorer; `batch_size` counts where text is generated.
    """

    rows_per_batch: int | None = None
    title = "log-likelihoods"

    def _loglikelihood_tokens(
        self, requests: list[Tokenised], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        model = self.model
        if self.backend != "causal" or self.mixed_precision_dtype or not isinstance(model, PreTrainedModel):
            # Of encoder-decoders, autocast and wrapped models HFLM knows more than we do.
            answers: list[tuple[float, bool]] = super()._loglikelihood_tokens(
                requests, disable_tqdm, override_bs
            )
            return answers
        pairs = []
        for _, context, answer in requests:
            assert 0 < len(answer) <= self.max_length, "an answer has no tokens, or more than fit"
            ids = (context + answer)[-(self.max_length + 1) :][:-1]
            pairs.append((tuple(ids), tuple(answer)))
        results = loglikelihoods(model, pairs, batch_size=self.rows_per_batch, description=self.title)
        for (texts, _, _), result in zip(requests, results, strict=True):
            if texts is not None:  # what loglikelihood_rolling asks is remembered as a whole
                self.cache_hook.add_partial("loglikelihood", texts, result)
        return results
