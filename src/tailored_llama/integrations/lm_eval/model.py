"""The scorer of this package as an lm_eval model: `--model tailor` has the options of `--model hf` and is
faster.

Importing this module registers the name; `python -m tailored_llama.integrations.lm_eval` runs lm_eval's
command line after that import.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from transformers import PreTrainedModel

from tailored_llama.data.tokens import Encoder
from tailored_llama.scoring import loglikelihoods

Tokenised = tuple[tuple[str, str] | None, list[int], list[int]]


@register_model("tailor")
class Tailor(HFLM):  # type: ignore[misc]
    """HFLM (lm_eval 0.4.13) with shared-prefix reuse: common prefixes of requests are computed once.

    The log-likelihoods equal HFLM's up to rounding, with a softmax in fp32. The scorer chooses the size of
    its batches; `batch_size` applies to generation only. Trailing special tokens of a tokenizer (an
    end-of-sequence token) are dropped; HFLM would score them as part of the answer and insert them between
    prompt and continuation.
    """

    rows_per_batch: int | None = None
    title = "log-likelihoods"

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,
        left_truncate_len: int | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """HFLM's method, without the tokenizer's trailing special tokens."""
        ids: list[int] = super().tok_encode(string, add_special_tokens, **kwargs)
        if self.backend == "causal":
            ids = self._encoder.without_suffix(ids, string)
        return ids[-left_truncate_len:] if left_truncate_len else ids

    def tok_batch_encode(
        self,
        strings: list[str],
        padding_side: str = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """HFLM's method, without the tokenizer's trailing special tokens."""
        suffix = torch.tensor(self._encoder.behind if self.backend == "causal" else [], dtype=torch.long)
        limit = left_truncate_len and left_truncate_len + len(suffix)
        ids, mask = super().tok_batch_encode(strings, padding_side, limit, truncation)
        width = ids.shape[1] - len(suffix)
        if padding_side == "left" and bool((ids[:, width:] == suffix).all()):
            ids, mask = ids[:, :width], mask[:, :width]
        return ids, mask

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.tokenizer)

    def name_of(self, index: int) -> str:
        """A description of the request with that index, for messages."""
        return f"request {index + 1}"

    def _loglikelihood_tokens(
        self, requests: list[Tokenised], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        model = self.model
        if self.backend != "causal" or self.mixed_precision_dtype or not isinstance(model, PreTrainedModel):
            # HFLM handles encoder-decoders, autocast and wrapped models.
            answers: list[tuple[float, bool]] = super()._loglikelihood_tokens(
                requests, disable_tqdm, override_bs
            )
            return answers
        pairs = []
        for _, context, answer in requests:
            assert 0 < len(answer) <= self.max_length, (
                "an answer has no tokens, or does not fit into the context"
            )
            ids = (context + answer)[-(self.max_length + 1) :][:-1]
            pairs.append((tuple(ids), tuple(answer)))
        results = loglikelihoods(
            model, pairs, batch_size=self.rows_per_batch, description=self.title, name=self.name_of
        )
        for (texts, _, _), result in zip(requests, results, strict=True):
            if texts is not None:  # loglikelihood_rolling caches complete texts itself
                self.cache_hook.add_partial("loglikelihood", texts, result)
        return results
