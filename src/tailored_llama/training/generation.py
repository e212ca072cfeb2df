"""Text that a model writes from the beginnings of prompts, a batch at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.progress import track
from tailored_llama.scoring import FiniteLogits, padding_id
from tailored_llama.training.batches import Shot

CACHE = 2**31
"""Bytes of keys and values while a batch is written: some thirty rows of a 7B model."""
MOST = 64


def prompts_of(shots: Sequence[Shot]) -> list[tuple[int, ...]]:
    """Token ids of what stands before each shot's first choice (of one that holds the right one alone, before
    that): the prompt without its answer.
    """
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
    """`count` texts of token ids: the beginning of one of `prompts` (token ids, in turn), of a random length,
    and up to `length` tokens that `model` samples after it, as it is (temperature 1). Raises
    NotFiniteError for a model that gives no finite logits.
    """
    draw = random.Random(seed)
    beginnings = []
    for i in range(count):
        context = prompts[i % len(prompts)]
        beginnings.append(list(context[: draw.randint(1, len(context))]))
    limit = int(model.config.max_position_embeddings)
    end = tokenizer.eos_token_id
    pad = padding_id(model, [] if end is None else [int(end)])
    texts: dict[int, list[int]] = {}
    order = sorted(range(len(beginnings)), key=lambda i: len(beginnings[i]))
    together = rows_at_once(model, max(map(len, beginnings), default=0) + length)
    model.eval()
    with as_it_is(model), torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in track(range(0, len(order), together), "the teacher writes"):
            group = order[start : start + together]
            width = max(len(beginnings[i]) for i in group)
            ids = torch.zeros(len(group), width, dtype=torch.long)
            seen = torch.zeros_like(ids)
            for row, i in enumerate(group):
                ids[row, width - len(beginnings[i]) :] = torch.tensor(beginnings[i])
                seen[row, width - len(beginnings[i]) :] = 1
            out = model.generate(
                input_ids=ids.to(model.device), attention_mask=seen.to(model.device), do_sample=True,
                temperature=1.0, top_k=0, top_p=1.0, eos_token_id=end, pad_token_id=pad,
                max_new_tokens=max(1, min(length, limit - width)),
                logits_processor=LogitsProcessorList([FiniteLogits(model, lambda _: "the text it writes")]),
            )  # fmt: skip
            for row, i in enumerate(group):
                new = out[row, width:].tolist()
                stop = new.index(end) + 1 if end in new else len(new)
                texts[i] = (beginnings[i] + new[:stop])[:limit]
    return [texts[i] for i in range(len(beginnings))]


@contextmanager
def as_it_is(model: PreTrainedModel) -> Iterator[None]:
    """Without the penalties and cut-offs that its generation_config.json may ask for."""
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def rows_at_once(model: PreTrainedModel, tokens: int) -> int:
    """Rows of so many tokens whose keys and values take at most CACHE, were every head to have its own."""
    config = model.config
    heads = config.num_attention_heads * (getattr(config, "head_dim", None) or 0)
    width = max(config.hidden_size, heads)
    each = 2 * config.num_hidden_layers * width * model.dtype.itemsize * tokens
    return max(1, min(MOST, int(CACHE // each)))
