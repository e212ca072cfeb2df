"""Perplexity by LLM-Pruner's protocol (Ma, Fang and Wang, NeurIPS 2023), comparable with its published
tables.

The corpus is one stream of tokens, cut into non-overlapping windows of `length`; an incomplete last window is
dropped. Within a window every token except the first is predicted, and the perplexity is exp of the mean loss
over all predictions. The stream begins with one beginning-of-sequence token if the tokenizer adds one, and
has no end-of-sequence token; windows after the first begin in the middle of the text, as published.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import world
from tailored_llama.data.hub import load_dataset
from tailored_llama.data.tokens import Encoder, check_ids
from tailored_llama.errors import DataError
from tailored_llama.progress import track
from tailored_llama.recipe import suggest
from tailored_llama.recipe.text import read_text
from tailored_llama.scoring import BATCH_TOKENS, context_length, embedding_rows, not_finite

HUB = {
    "wikitext2": {"path": "Salesforce/wikitext", "name": "wikitext-2-raw-v1", "split": "test"},
    # The hub's conversion of a data set whose own loading script current libraries refuse. LLM-Pruner scores
    # the validation split.
    "ptb": {
        "path": "parquet",
        "data_files": "hf://datasets/ptb-text-only/ptb_text_only@refs%2Fconvert%2Fparquet"
        "/penn_treebank/validation/0000.parquet",
        "split": "train",
    },
}
FIELDS = {"wikitext2": "text", "ptb": "sentence"}
NAMES = (*HUB, "world")


def perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    length: int,
    name: str = "text",
    *,
    most: int | None = None,
    reference: PreTrainedModel | None = None,
) -> dict[str, float | int]:
    """`perplexity` of `text`, with the number of predicted `tokens`, of `windows`, and their `length` in
    tokens. At most `most` windows are read; None reads all.

    With a `reference` model of the same vocabulary, the result has `kl`: the mean of KL(reference || model)
    over predicted tokens, in nats.

    Raises DataError if a window does not fit into the model or the text is shorter than one, CheckpointError
    for a token outside the model's vocabulary, NotFiniteError if the loss is not finite.
    """
    limit = context_length(model)
    if length > limit:
        raise DataError(
            f"perplexity windows of {length} tokens do not fit into the model's context of {limit}; "
            f"use {limit} or less (--length {limit})"
        )
    ids = torch.tensor(Encoder(tokenizer)(text))
    count = len(ids) // length
    if not count:
        raise DataError(f"{name} has {len(ids)} tokens, less than one window of {length}; use a longer text")
    count = min(count, most or count)
    windows = ids[: count * length].view(count, length)
    check_ids(windows.flatten().tolist(), embedding_rows(model), tokenizer, f"corpus {name}")
    total, divergence, done = 0.0, 0.0, 0
    with torch.inference_mode():
        size = max(1, BATCH_TOKENS // length)
        for batch in track(torch.split(windows, size), f"perplexity of {name}"):
            logits = model(input_ids=batch.to(model.device), use_cache=False).logits[:, :-1]
            targets = batch[:, 1:].to(model.device)
            loss = float(cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum"))
            if not math.isfinite(loss):
                raise not_finite(
                    model, f"perplexity of {name}, {_window(logits, done)}", f"the loss is {loss}"
                )
            total += loss
            if reference is not None:
                divergence += _divergence(logits, reference, batch)
            done += len(batch)
    tokens = count * (length - 1)
    result: dict[str, float | int] = {
        "perplexity": math.exp(min(total / tokens, 700.0)),
        "tokens": tokens,
        "windows": count,
        "length": length,
    }
    return result if reference is None else {**result, "kl": divergence / tokens}


def _divergence(logits: Tensor, reference: PreTrainedModel, batch: Tensor) -> float:
    """The sum of KL(reference || model) over all predictions; `logits` [windows, tokens, vocabulary] are
    those of the model. Computed per window, so only one window's distributions are in fp32.
    """
    total = 0.0
    for model_logits, ids in zip(logits, batch, strict=True):
        reference_logits = reference(input_ids=ids[None].to(reference.device), use_cache=False).logits[0, :-1]
        expected = log_softmax(reference_logits.float().to(model_logits.device), dim=-1)
        total += float(
            kl_div(log_softmax(model_logits.float(), dim=-1), expected, log_target=True, reduction="sum")
        )
    return total


def _window(logits: Tensor, done: int) -> str:
    """A description of the first window of a batch [windows, tokens, vocabulary] with a logit that is not
    finite; `done` windows precede the batch.
    """
    bad = ~torch.isfinite(logits).flatten(1).all(1)
    return f"window {done + int(bad.int().argmax()) + 1}"


def window_of(entry: str, length: int) -> tuple[str, int]:
    """A corpus and its window in tokens: `wikitext2@2048` names its own window, the default is `length`.

    Raises DataError for a window of fewer than two tokens.
    """
    name, at, window = entry.rpartition("@")
    if not (at and name and window.isdigit()):
        return entry, length
    if int(window) < 2:
        raise DataError(f"perplexity {entry}: a window needs at least 2 tokens")
    return name, int(window)


def corpus(name: str, data: Mapping[str, str | Path]) -> str:
    """The text `name`: wikitext2 or ptb (from the file that `data` names, else the hub), world, or a .txt
    file.

    The lines of wikitext2 and ptb are joined as in LLM-Pruner, so that a plain text file of the corpus gives
    the same stream. Raises DataError if there is no such text.
    """
    if name in data:
        text = read_text(Path(data[name]), where=f"corpus {name}: ")
        return "\n\n".join(_rows(name, text)) if name in HUB else text
    if name == "world":
        return world.text("test")
    if name in HUB:
        return "\n\n".join(_from_hub(name))
    return read_text(_file(name), where=f"corpus {name}: ")


def check_corpus(name: str, data: Mapping[str, str | Path]) -> None:
    """DataError if `name` is not a corpus, or is a file that cannot be read; the hub is not queried."""
    if name in data or name not in NAMES:
        read_text(Path(data[name]) if name in data else _file(name), where=f"corpus {name}: ")


def _file(name: str) -> Path:
    if not name.endswith(".txt"):
        names = ", ".join(NAMES)
        raise DataError(f"no corpus '{name}'{suggest(name, NAMES)}; name one of {names}, or a .txt file")
    return Path(name)


def _rows(name: str, text: str) -> list[str]:
    """These lines as rows of the hub's data set; lines end only at \\n."""
    lines = io.StringIO(text)
    if name == "ptb":
        return [line.strip() for line in lines]
    return [line if line.strip() else "" for line in lines]


def _from_hub(name: str) -> list[str]:
    try:
        return list(load_dataset(**HUB[name])[FIELDS[name]])
    except Exception as error:  # the hub fails in many ways; the user needs one message
        reason = (str(error).strip().splitlines() or [""])[0]
        raise DataError(
            f"corpus {name}: cannot be loaded from the hub: {type(error).__name__}: {reason[:160]}; "
            f"give a text file instead: data: {{{name}: FILE.txt}}"
        ) from None
