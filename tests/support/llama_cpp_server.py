"""A real llama.cpp, asked over its own loopback interface."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PROCESS = Path(__file__).with_name("llama_cpp_process.py")


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


class LlamaCpp:
    """llama.cpp with one GGUF file loaded, in a process of its own: its server, told to stop, sometimes waits
    for ever for a thread of its own.

    The KV cache is f32 and flash attention off, so that only the order of sums differs from transformers.
    """

    def __init__(self, path: Path, context: int = 256) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROCESS), str(path), str(context)], stdout=subprocess.PIPE, text=True
        )
        weakref.finalize(self, _end, self._process)
        assert self._process.stdout
        self.address = self._process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1"), f"llama.cpp did not load {path}"

    def ask(self, route: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.address}/{route}", json.dumps(body).encode() if body else None
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
