"""Matching of stored tensors to parameters, across naming conventions; checks that config and files agree."""

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
"""{parameter: (stored name, location)}"""

BASE = "model."
"""Prefix of the decoder's parameters in a model with a head; missing if the decoder was saved alone."""
WRAPPERS = ("", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.")
"""Prefixes that DistributedDataParallel, torch.compile and trainers add to parameter names."""
HEAD = "lm_head.weight"
COMPUTED = re.compile(r"(^|\.)rotary_emb\.(inv_freq|original_inv_freq|cos_cached|sin_cached)$")
"""Buffers stored in old checkpoints; the model computes them."""
log = logging.getLogger(__name__)


def match(directory: Path, expected: Shapes, tied: Mapping[str, str]) -> Matched:
    """The location of each of the `expected` parameters in `directory`. For {copy: source} in `tied`, either
    name or both may be stored.

    The first complete layout is used (see `layouts`). One warning names stored tensors that the model does
    not use. Raises CheckpointError if no layout is complete, or files and config disagree.
    """
    possible = layouts(directory)
    errors = []
    for layout in possible:
        try:
            matched = _matched(layout, expected, tied)
        except CheckpointError as error:
            errors.append(error)
            continue
        unused_files = {path.name for other in possible for path in other.files} - {
            f.name for f in layout.files
        }
        if unused_files:
            note_once(
                log, f"{directory}: {layout.files[0].name} is read; ignored: {some(sorted(unused_files))}"
            )
        return matched
    raise errors[0]


def _matched(layout: Layout, expected: Shapes, tied: Mapping[str, str]) -> Matched:
    """The parameters in one layout; CheckpointError if it is not complete."""
    spelled = _spelling(layout.tensors, expected, tied)
    matched = _find(layout, expected, tied, spelled)
    missing = [name for name in expected if name not in matched]
    if missing:
        raise CheckpointError(layout.lost(map(spelled, missing)) or _incomplete(layout.directory, missing))
    _check(matched, expected)
    _warn_unused(layout, matched, tied, spelled)
    return {name: matched[name] for name in expected}


def _spelling(stored: Iterable[str], expected: Shapes, tied: Mapping[str, str]) -> Callable[[str], str]:
    """A function from a parameter's name to its stored name: the naming convention that matches
    most tensors.
    """
    names = set(stored)

    def spelled(wrapper: str, bare: bool) -> Callable[[str], str]:
        return lambda name: wrapper + (name.removeprefix(BASE) if bare else name)

    conventions = [spelled(wrapper, bare) for wrapper, bare in product(WRAPPERS, (False, True))]
    return max(
        conventions, key=lambda stored_name: sum(stored_name(name) in names for name in (*expected, *tied))
    )


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


def _check(matched: Matched, expected: Shapes) -> None:
    """CheckpointError for a tensor with the wrong shape or an unsupported precision."""
    for name, shape in expected.items():
        where = matched[name][1]
        if where.shape != shape:
            raise CheckpointError(
                f"{where.file}: {name} is {list(where.shape)}, config.json requires {list(shape)}; "
                "use config and weights of the same model"
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


def _warn_unused(
    layout: Layout, matched: Matched, tied: Mapping[str, str], spelled: Callable[[str], str]
) -> None:
    """Log one warning for stored tensors that the model does not use."""
    used = {place for place, _ in matched.values()} | set(map(spelled, tied))
    unused = [name for name in layout.tensors if name not in used and not COMPUTED.search(name)]
    if unused:
        count = "1 stored tensor" if len(unused) == 1 else f"{len(unused)} stored tensors"
        keys = f"if the model needs them, correct {_keys(unused)} in config.json"
        note_once(log, f"{layout.directory}: {count} unused with this config.json: {some(unused)}; {keys}")


def _keys(names: Iterable[str]) -> str:
    """The config keys that determine whether tensors of these names are used."""
    keys = {
        "attention_bias": r"self_attn\.\w+\.bias$", "mlp_bias": r"mlp\.\w+\.bias$",
        "num_hidden_layers": r"layers\.\d+\.(self_attn|mlp)\.\w+\.weight$",
        "tie_word_embeddings": r"lm_head\.weight$",
    }  # fmt: skip
    named = [key for key, pattern in keys.items() if any(re.search(pattern, name) for name in names)]
    return ", ".join(named) or "its keys"


def _incomplete(directory: Path, missing: list[str]) -> str:
    if missing == [HEAD]:
        return (
            f"{directory}: lacks {HEAD}; if the embedding is the head, set tie_word_embeddings to true in "
            "config.json; otherwise name a checkpoint with a language-model head"
        )
    return f"{directory}: lacks {some(missing)}; the checkpoint is incomplete, download it again"
