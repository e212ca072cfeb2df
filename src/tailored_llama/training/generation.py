"""Sampling of texts from a model that continues the beginnings of prompts, in batches."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from transformers import LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.progress import track
from tailored_llama.scoring import FiniteLogits, padding_id, without_generation_config
from tailored_llama.training.batches import Shot

CACHE = 2**31
"""Maximum bytes of the key-value cache of a batch: about thirty rows of a 7B model."""
MOST = 64


def prompts_of(shots: Sequence[Shot]) -> list[tuple[int, ...]]:
    """Token ids of each shot's prompt: the context of its first (or only) choice."""
    firsts = [shot.choices[0] for shot in shots]
    return [choice.ids[: len(choice.ids) - len(choice.answer) + 1] for choice in firsts]


def write_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    count: int,
    length: int,
    seed: int,
) -> list[list[int]]:
    """Sample `count` texts as token ids: a prefix of random length of one of `prompts` (in rotation), and up
    to `length` tokens that `model` samples after it at temperature 1. Raises NotFiniteError if logits are not
    finite.
    """
    draw = random.Random(seed)
    prefixes = []
    for i in range(count):
        context = prompts[i % len(prompts)]
        prefixes.append(list(context[: draw.randint(1, len(context))]))
    limit = int(model.config.max_position_embeddings)
    end = tokenizer.eos_token_id
    pad = padding_id(model, [] if end is None else [int(end)])
    texts: dict[int, list[int]] = {}
    order = sorted(range(len(prefixes)), key=lambda i: len(prefixes[i]))
    batch_rows = rows_at_once(model, max(map(len, prefixes), default=0) + length)
    model.eval()
    with without_generation_config(model), torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in track(range(0, len(order), batch_rows), "teacher texts"):
            group = order[start : start + batch_rows]
            width = max(len(prefixes[i]) for i in group)
            ids = torch.zeros(len(group), width, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, i in enumerate(group):
                ids[row, width - len(prefixes[i]) :] = torch.tensor(prefixes[i])
                mask[row, width - len(prefixes[i]) :] = 1
            out = model.generate(
                input_ids=ids.to(model.device), attention_mask=mask.to(model.device), do_sample=True,
                temperature=1.0, top_k=0, top_p=1.0, eos_token_id=end, pad_token_id=pad,
                max_new_tokens=max(1, min(length, limit - width)),
                logits_processor=LogitsProcessorList([FiniteLogits(model, lambda _: "the sampled text")]),
            )  # fmt: skip
            for row, i in enumerate(group):
                new = out[row, width:].tolist()
                stop = new.index(end) + 1 if end in new else len(new)
                texts[i] = (prefixes[i] + new[:stop])[:limit]
    return [texts[i] for i in range(len(prefixes))]


def rows_at_once(model: PreTrainedModel, tokens: int) -> int:
    """Number of rows of `tokens` tokens whose key-value cache takes at most CACHE, assuming a KV head per
    head.
    """
    config = model.config
    heads = config.num_attention_heads * (getattr(config, "head_dim", None) or 0)
    width = max(config.hidden_size, heads)
    each = 2 * config.num_hidden_layers * width * model.dtype.itemsize * tokens
    return max(1, min(MOST, int(CACHE // each)))
