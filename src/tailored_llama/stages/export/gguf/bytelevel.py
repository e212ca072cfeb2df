"""Byte-level BPE (Radford et al. 2019, GPT-2): the pre-tokenizers that llama.cpp implements.

llama.cpp selects a pre-tokenizer by name: with the wrong name a file would load and split text differently
without an error. The name is looked up from the steps in tokenizer.json, and unknown steps are refused.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailored_llama.errors import CheckpointError

log = logging.getLogger(__name__)

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_PUNCTUATION_AND_SPACES = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_PUNCTUATION_AND_SPACES}"
QWEN2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_PUNCTUATION_AND_SPACES}"

Step = tuple[str, Any]
BYTES: Step = ("ByteLevel", False)
WORDS: Step = ("ByteLevel", True)
"""GPT-2's regular expression for words, then bytes."""

KNOWN: dict[tuple[tuple[Step, ...], bool], str] = {
    ((WORDS,), False): "gpt-2",
    ((("Digits", True), WORDS), False): "smollm",
    ((("Split", LLAMA3), BYTES), True): "llama-bpe",
    ((("Split", LLAMA3), BYTES), False): "dbrx",
    ((("Split", QWEN2), BYTES), False): "qwen2",
}
"""From the steps, and whether words of the vocabulary skip merging (`ignore_merges`), to llama.cpp's name."""


def pre_tokenizer(directory: Path, parsed: Mapping[str, Any]) -> str:
    """llama.cpp's name for the pre-tokenizer of a parsed tokenizer.json; CheckpointError if it has none."""
    model = parsed["model"]
    keys = ("dropout", "continuing_subword_prefix", "end_of_word_suffix")
    unsupported = [key for key in keys if model.get(key)]
    if parsed["normalizer"] not in (None, {"type": "NFC"}):
        unsupported.append("a normalizer")
    if unsupported:
        raise CheckpointError(
            f"{directory}: its tokenizer uses {' and '.join(unsupported)}, which llama.cpp does not support; "
            f"export to hf instead"
        )
    pre = parsed["pre_tokenizer"] or {"type": "none"}
    steps = pre["pretokenizers"] if pre["type"] == "Sequence" else [pre]
    name = KNOWN.get((tuple(map(_step, steps)), bool(model.get("ignore_merges"))))
    if name is None:
        raise CheckpointError(
            f"{directory}: llama.cpp has no pre-tokenizer like its "
            f"{' + '.join(step['type'] for step in steps)}, only {', '.join(sorted(KNOWN.values()))}; "
            f"export to hf instead"
        )
    _warn_of_missing_bytes(model["vocab"])
    return name


def _step(step: Mapping[str, Any]) -> Step:
    """One step as `KNOWN` lists it; any other step becomes one that no entry has."""
    match step:
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": regex}:
            return ("ByteLevel", regex)
        case {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}:
            return ("Split", regex)
        case {"type": "Digits", "individual_digits": individual}:
            return ("Digits", individual)
    return (str(step["type"]), None)


def _warn_of_missing_bytes(vocabulary: Mapping[str, int]) -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    missing = set(ByteLevel.alphabet()) - vocabulary.keys()
    if missing:
        log.warning("%d bytes have no token: llama.cpp skips them in a text", len(missing))
