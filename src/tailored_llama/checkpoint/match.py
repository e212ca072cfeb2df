"""Which stored tensor is which parameter, however its name is spelled; where config and disk disagree."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path

import torch

from tailored_llama.checkpoint.shards import DTYPES, Layout, Stored, layouts, read_tensor, some
from tailored_llama.errors import CheckpointError
from tailored_llama.progress import note_once

Shapes = Mapping[str, tuple[int, ...]]
Matched = dict[str, tuple[str, Stored]]
"""{parameter: (its name on the disk, where it lies)}"""

BASE = "model."
"""What the names of a decoder begin with in a model with a head, and not where it was saved without one."""
WRAPPERS = ("", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.")
"""What DistributedDataParallel, torch.compile and trainers put before a model's own names."""
HEAD = "lm_head.weight"
COMPUTED = re.compile(r"(^|\.)rotary_emb\.(inv_freq|original_inv_freq|cos_cached|sin_cached)$")
"""Buffers of old checkpoints, which the model computes itself."""
log = logging.getLogger(__name__)


def match(directory: Path, expected: Shapes, tied: Mapping[str, str]) -> Matched:
    """Where each of the `expected` parameters lies in `directory`; of {copy: source} in `tied` either name or
    both may be stored.

    Of several layouts (see `layouts`) the first that is whole counts. Tensors that the model has no place for
    are named in one warning. Raises CheckpointError where none is whole, or disk and config disagree.
    """
    possible = layouts(directory)
    errors = []
    for layout in possible:
        try:
            found = _matched(layout, expected, tied)
        except CheckpointError as error:
            errors.append(error)
            continue
        others = {path.name for other in possible for path in other.files} - {f.name for f in layout.files}
        if others:
            note_once(log, f"{directory}: {layout.files[0].name} is read, and not {some(sorted(others))}")
        return found
    raise errors[0]


def _matched(layout: Layout, expected: Shapes, tied: Mapping[str, str]) -> Matched:
    """The parameters in one layout; CheckpointError where it does not hold the model."""
    spelled = _spelling(layout.tensors, expected, tied)
    found = _find(layout, expected, tied, spelled)
    missing = [name for name in expected if name not in found]
    if missing:
        raise CheckpointError(layout.lost(map(spelled, missing)) or _incomplete(layout.directory, missing))
    _check(found, expected)
    _note_left(layout, found, tied, spelled)
    return {name: found[name] for name in expected}


def _spelling(stored: Iterable[str], expected: Shapes, tied: Mapping[str, str]) -> Callable[[str], str]:
    """From a parameter's name to its name on the disk: of the known ways that one by which most are found."""
    names = set(stored)

    def spelled(wrapper: str, bare: bool) -> Callable[[str], str]:
        return lambda name: wrapper + (name.removeprefix(BASE) if bare else name)

    ways = [spelled(wrapper, bare) for wrapper, bare in product(WRAPPERS, (False, True))]
    return max(ways, key=lambda way: sum(way(name) in names for name in (*expected, *tied)))


def _find(
    layout: Layout, expected: Shapes, tied: Mapping[str, str], spelled: Callable[[str], str]
) -> Matched:
    stored = layout.tensors
    places = {name: spelled(name) for name in expected}
    for copy, source in tied.items():
        if spelled(copy) in stored and places[source] in stored:
            _check_tied(layout, copy, source, spelled)
        elif spelled(copy) in stored:
            places[source] = spelled(copy)
    return {name: (place, stored[place]) for name, place in places.items() if place in stored}


def _check(found: Matched, expected: Shapes) -> None:
    """CheckpointError for a tensor of another shape or a precision that is none."""
    for name, shape in expected.items():
        where = found[name][1]
        if where.shape != shape:
            raise CheckpointError(
                f"{where.file}: {name} is {list(where.shape)} where config.json asks for {list(shape)}; "
                "config and weights are not of one model"
            )
        if where.dtype not in DTYPES:
            raise CheckpointError(
                f"{where.file}: {name} is stored as {where.dtype}; quantised weights cannot be cut, "
                "name the unquantised checkpoint"
            )


def _check_tied(layout: Layout, copy: str, source: str, spelled: Callable[[str], str]) -> None:
    one, other = (read_tensor(layout.tensors[name], name) for name in map(spelled, (copy, source)))
    if not torch.equal(one, other):
        raise CheckpointError(
            f"{layout.directory}: config.json ties {copy} to {source} but they differ; "
            "set tie_word_embeddings to false in config.json"
        )


def _note_left(
    layout: Layout, found: Matched, tied: Mapping[str, str], spelled: Callable[[str], str]
) -> None:
    """One warning for stored tensors that the config has no place for."""
    used = {place for place, _ in found.values()} | set(map(spelled, tied))
    left = [name for name in layout.tensors if name not in used and not COMPUTED.search(name)]
    if left:
        count = "1 stored tensor" if len(left) == 1 else f"{len(left)} stored tensors"
        keys = f"if the model needs what was left out, correct {_keys(left)} in config.json"
        note_once(log, f"{layout.directory}: config.json has no place for {count}: {some(left)}; {keys}")


def _keys(left: Iterable[str]) -> str:
    """The keys of a config that would make room for tensors of these names."""
    keys = {
        "attention_bias": r"self_attn\.\w+\.bias$", "mlp_bias": r"mlp\.\w+\.bias$",
        "num_hidden_layers": r"layers\.\d+\.(self_attn|mlp)\.\w+\.weight$",
        "tie_word_embeddings": r"lm_head\.weight$",
    }  # fmt: skip
    named = [key for key, pattern in keys.items() if any(re.search(pattern, name) for name in left)]
    return ", ".join(named) or "its keys"


def _incomplete(directory: Path, missing: list[str]) -> str:
    if missing == [HEAD]:
        return (
            f"{directory}: lacks {HEAD}; if the embedding is the head, set tie_word_embeddings to true in "
            "config.json; else this is a model without a head, name the one with it"
        )
    return f"{directory}: lacks {some(missing)}; it is not whole, download it again"
