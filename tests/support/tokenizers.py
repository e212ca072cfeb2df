"""Small tokenizers: of words, and of the kinds that llama.cpp knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tests.support.pico import VOCABULARY

TEXTS = (
    "The cat sat on the mat, and the dog didn't like it at all.",
    "In 1984 there were 2,345 owls; they'd flown 10000 km.\n\nNobody    counted them twice!",
    "Ünïcödé — naïve café, 東京, 🙂 and \ttabs.",
    "Once upon a time there was a little owl who sat on a cat.",
)
WORDS = (
    "Question: is the answer yes or no? Answer: A. the cat, B. the dog, because it was so. The answer is yes."
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with few merges; puts <s> before a text, as LLaMA's does."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([WORDS] * 3, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>")


def around(before: str, behind: str) -> PreTrainedTokenizerFast:
    """The pico's tokenizer with a post-processor that puts these special tokens around a text."""
    words = tokenizer()
    ids = [(token, words.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")]
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{before} $A {behind}".strip(), special_tokens=ids
    )
    return words


def without_start(behind: str = "") -> PreTrainedTokenizerFast:
    words = around("", behind)
    words.bos_token = None
    return words


def extended() -> PreTrainedTokenizerFast:
    """Two tokens more than the pico has: 300 for padding, 301 a word."""
    words = tokenizer()
    words.add_special_tokens({"pad_token": "[PAD]"})
    words.add_tokens(["zebra"])
    assert (words.pad_token_id, words.convert_tokens_to_ids("zebra")) == (300, 301)
    return words


def byte_level(
    directory: Path, pre: Any = None, *, ignore_merges: bool = False, **special: str
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on `TEXTS` and saved; it cuts as GPT-2 does by default."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre or pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 10, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXTS, trainer)
    # One word that no merges lead to: only `ignore_merges` finds it.
    trained = json.loads(tokenizer.to_str())["model"]
    vocabulary = trained["vocab"] | {"Ġcounted": len(trained["vocab"])}
    tokenizer.model = models.BPE(vocabulary, [*map(tuple, trained["merges"])], ignore_merges=ignore_merges)
    return _save(tokenizer, directory, **special)


def sentence_pieces(directory: Path, *, prepend: bool = True, **special: str) -> PreTrainedTokenizerFast:
    """A tokenizer in the form of SentencePiece's: pieces with their spaces, and every split a merge."""
    words = [
        "▁the",
        "▁cat",
        "▁sat",
        "▁on",
        "▁a",
        "at",
        "th",
        "he",
        "▁t",
        "▁th",
        "▁c",
        "▁ca",
        "▁s",
        "▁sa",
        "on",
        "▁o",
        "▁▁",
        "▁▁▁",
    ]
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *words,
        "▁",
        *"abcdehlmnorstu",
    ]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    merges = [
        (word[:cut], word[cut:])
        for word in words
        for cut in range(1, len(word))
        if word[:cut] in vocabulary and word[cut:] in vocabulary
    ]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    steps = [normalizers.Prepend("▁")] * prepend + [normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _save(tokenizer, directory, **special)


def _save(tokenizer: Tokenizer, directory: Path, **special: str) -> PreTrainedTokenizerFast:
    named = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", **special}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **named)
    fast.save_pretrained(directory)
    return fast
