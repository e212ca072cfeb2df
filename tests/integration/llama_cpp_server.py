"""A real llama.cpp in this process, asked over its own loopback interface."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class LlamaCpp:
    """llama.cpp with one GGUF file loaded.

    The KV cache is f32 and flash attention off, so that only the order of sums differs from transformers.
    """

    def __init__(self, path: Path, context: int = 256) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context
        params.n_parallel = 1
        params.warmup = False
        params.verbosity = -1
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.server = xllamacpp.Server(params)

    def ask(self, route: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.server.listening_address}/{route}", json.dumps(body).encode() if body else None
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        ids: list[int] = self.ask("tokenize", content=text, add_special=special, parse_special=False)[
            "tokens"
        ]
        return ids

    def chat_template(self) -> str:
        template: str = self.ask("props")["chat_template"]
        return template

    def text(self, prompt: str, tokens: int) -> str:
        """The greedy continuation of a prompt."""
        text: str = self.ask("completion", prompt=prompt, n_predict=tokens, temperature=0)["content"]
        return text

    def greedy(self, ids: list[int], tokens: int, vocabulary: int) -> tuple[list[int], Tensor]:
        """The likeliest continuation of `ids`, and the log-probabilities [tokens, vocabulary] behind it.

        The token that llama.cpp is made to say is the last of `ids`, which leaves the probabilities as they
        are: it gives none for a step that ends inside a character, and a random model says such things.
        """
        picked: list[int] = []
        table = torch.full((tokens, vocabulary), float("nan"))
        for row in table:
            answer = self.ask(
                "completion",
                prompt=ids + picked,
                n_predict=1,
                n_probs=vocabulary,
                logit_bias=[[ids[-1], 1000]],
            )
            (step,) = answer["completion_probabilities"]
            row[[top["id"] for top in step["top_logprobs"]]] = torch.tensor(
                [top["logprob"] for top in step["top_logprobs"]]
            )
            picked.append(int(row.argmax()))
        return picked, table
