"""Log-likelihoods of answers, with common prefixes computed once.

A row of branches is one forward pass with a 4-D attention mask in which a token attends to its own branch,
and with positions that restart where a branch leaves its trunk; the prefix of all rows is a key-value cache.
Up to rounding, every hidden state equals that of its sequence alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from tailored_llama.families import family_named, family_names
from tailored_llama.progress import track
from tailored_llama.scoring.finite import Where, not_finite
from tailored_llama.scoring.forest import Forest, Ids, Row, plant, separate

# Padded tokens of one forward pass: enough to use two cores or a GPU fully, few enough that the activations
# of a 7B model take at most a few GB.
BATCH_TOKENS = 2048

Batch = tuple[Ids, list[Row]]
KeysValues = list[tuple[Tensor, Tensor]]


def can_branch(model: Any) -> bool:
    """Whether `model` supports branches: arbitrary attention masks and positions.

    True for known families only, unless attention is windowed or compiled for plain rows, logits are capped
    after the head, or rotary frequencies depend on the longest sequence of a batch.
    """
    if not isinstance(model, PreTrainedModel):
        return False  # wrapped models may prepend virtual tokens
    config = model.config
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    return (
        str(config.model_type).removeprefix("shaped_") in family_names()
        and config._attn_implementation in ("sdpa", "eager")
        and getattr(config, "sliding_window", None) is None
        and getattr(config, "final_logit_softcapping", None) is None
        and rope not in ("dynamic", "longrope")
    )


def loglikelihoods(
    model: PreTrainedModel,
    pairs: Sequence[tuple[Ids, Ids]],
    *,
    batch_size: int | None = None,
    description: str = "scoring",
    name: Where = lambda index: f"pair {index + 1}",
) -> list[tuple[float, bool]]:
    """log P of every answer in nats, and whether all its tokens are the most likely ones.

    A pair is (input ids, answer ids): the input ends before the last token of the answer and fits into the
    model. The softmax is in fp32. `batch_size` rows form a batch; with None, as many as fit into BATCH_TOKENS
    including the prefix. Raises NotFiniteError, with the pair's `name`, if a log-likelihood is not finite.
    """
    by_input: dict[Ids, list[int]] = defaultdict(list)
    for index, (ids, _) in enumerate(pairs):
        by_input[ids].append(index)
    firsts = {ids: len(ids) - max(len(pairs[i][1]) for i in indices) for ids, indices in by_input.items()}
    branching = can_branch(model)
    batches = list(_batches(plant(firsts) if branching else separate(firsts), batch_size))
    results = [(0.0, False)] * len(pairs)
    prefix: Ids = ()
    cached: KeysValues | None = None
    with torch.inference_mode():
        for shared_prefix, rows in track(batches, description):
            if shared_prefix != prefix:
                prefix, cached = shared_prefix, _cache(model, shared_prefix) if shared_prefix else None
            requests = [(i, row, path) for row in range(len(rows)) for ids, path in rows[row].paths.items()
                     for i in by_input[ids]]  # fmt: skip
            width = len(rows[0].ids)
            answers = [pairs[index][1] for index, _, _ in requests]
            places = [
                row * width + node
                for (_, row, path), answer in zip(requests, answers, strict=True)
                for node in path[len(path) - len(answer) :]
            ]
            logits, at = _logits(model, rows, cached, places, branching)
            scores = _read(logits, at, answers)
            for (index, _, _), result in zip(requests, scores, strict=True):
                results[index] = result
            batch = [index for index, _, _ in requests]
            if not all(math.isfinite(results[index][0]) for index in batch):
                first = _first_bad(model, pairs, sorted(batch))
                raise not_finite(model, f"{description}, {name(first)}", "its log-likelihood is not finite")
    return results


def _batches(forests: Sequence[Forest], batch_size: int | None) -> Iterator[Batch]:
    for forest in forests:
        start = 0
        while start < len(forest.rows):
            width = len(forest.prefix) + len(forest.rows[start].ids)
            size = batch_size or max(1, BATCH_TOKENS // width)
            yield forest.prefix, forest.rows[start : start + size]
            start += size


def _first_bad(model: PreTrainedModel, pairs: Sequence[tuple[Ids, Ids]], indices: Sequence[int]) -> int:
    """The first of `indices` whose pair, scored alone, has no finite log-likelihood.

    In a row of branches NaN spreads to the other branches, since 0 * NaN is NaN.
    """
    for index in indices:
        ids, answer = pairs[index]
        logits = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0].float()
        ((value, _),) = _read(logits[-len(answer) :], torch.arange(len(answer)), [answer])
        if not math.isfinite(value):
            return index
    return indices[0]


def _cache(model: PreTrainedModel, prefix: Ids) -> KeysValues:
    """Keys and values `[1, kv_heads, tokens, head_dim]` of every layer after `prefix`."""
    ids = torch.tensor([prefix], device=model.device)
    cache = model.base_model(input_ids=ids, use_cache=True).past_key_values
    return [(layer.keys, layer.values) for layer in cache.layers]


def _logits(
    model: PreTrainedModel,
    rows: Sequence[Row],
    cached: KeysValues | None,
    places: Sequence[int],
    branching: bool,
) -> tuple[Tensor, Tensor]:
    """Logits `[distinct places, vocabulary]` in fp32, and for each of `places` the index of its row in them.

    A place is the index of a token in the flattened batch.
    """
    # Padding is on the right, so no real token attends to it.
    ids = padded([row.ids for row in rows]).to(model.device)
    distinct, at = torch.unique(torch.tensor(places, device=model.device), return_inverse=True)
    if not branching:
        return model(input_ids=ids, use_cache=False).logits.flatten(0, 1)[distinct].float(), at
    past = None
    if cached is not None:
        past = DynamicCache([(k.expand(len(rows), -1, -1, -1), v.expand(len(rows), -1, -1, -1))
                             for k, v in cached])  # fmt: skip
    plain = cached is None and not any(row.branches for row in rows)
    hidden = model.base_model(
        input_ids=ids,
        # Plain rows need no mask: the model's causal attention is faster.
        attention_mask=None if plain else _mask(rows, model),
        position_ids=padded([row.positions for row in rows]).to(model.device),
        past_key_values=past,
        use_cache=past is not None,
    ).last_hidden_state
    # The head is the most expensive part of a small model: compute only the logits that are read.
    factor = family_named(model.config.model_type).logit_factor(model.config)
    return model.get_output_embeddings()(hidden.flatten(0, 1)[distinct]).float() * factor, at


def _mask(rows: Sequence[Row], model: PreTrainedModel) -> Tensor:
    """The additive attention mask `[rows, 1, tokens, prefix + tokens]`: 0 where a token attends."""
    sees = visible(rows)
    blocked = torch.finfo(model.dtype).min
    return torch.zeros_like(sees, dtype=model.dtype).masked_fill_(~sees, blocked)[:, None].to(model.device)


def visible(rows: Sequence[Row]) -> Bool[Tensor, "rows tokens seen"]:
    """The boolean attention mask of `rows`, the first of which is the longest: a token attends to the prefix
    and its own branch; padding attends to itself.
    """
    width, start = len(rows[0].ids), rows[0].start
    visible_tokens = torch.zeros(len(rows), width, start + width, dtype=torch.bool)
    visible_tokens[:, :, :start] = True
    within = visible_tokens[:, :, start:]
    within.diagonal(dim1=1, dim2=2).fill_(True)
    for row, mask in zip(rows, within, strict=True):
        for path in row.paths.values():
            nodes = torch.tensor(path)
            mask[nodes[:, None], nodes] = torch.ones(len(path), len(path), dtype=torch.bool).tril_()
    return visible_tokens


def _read(logits: Tensor, at: Tensor, answers: Sequence[Ids]) -> Iterator[tuple[float, bool]]:
    """(log-likelihood, whether it is greedy) of each answer; `at` lists the places of all answer tokens in
    order.
    """
    targets = torch.tensor([token for answer in answers for token in answer], device=logits.device)
    values = logits[at, targets] - logits.logsumexp(-1)[at]
    greedy = logits.argmax(-1)[at] == targets
    lengths = [len(answer) for answer in answers]
    for value, best in zip(torch.split(values, lengths), torch.split(greedy, lengths), strict=True):
        yield float(value.sum()), bool(best.all())


def padded(lists: Sequence[Sequence[int]]) -> Tensor:
    """`lists` as a tensor `[rows, length of the first]`, padded with 0; the first list is the longest."""
    filled = torch.zeros(len(lists), len(lists[0]), dtype=torch.long)
    for row, values in enumerate(lists):
        filled[row, : len(values)] = torch.tensor(values)
    return filled
