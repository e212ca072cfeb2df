"""The world's byte-pair encoding: at most 1,024 tokens, trained on the world's text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

VOCABULARY = 1024
UNKNOWN, BEGIN, END, PAD = "<unk>", "<s>", "</s>", "<pad>"


def train_tokenizer(texts: Iterable[str]) -> Any:
    """A fast tokenizer (transformers) of at most `VOCABULARY` tokens.

    Byte-level pieces include their leading space, so no piece spans a prompt and its answer. The alphabet is
    ASCII, which is sufficient for the world; other characters are `<unk>`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[UNKNOWN, BEGIN, END, PAD],
        initial_alphabet=["Ċ", "Ġ", *(chr(code) for code in range(33, 127))],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )
