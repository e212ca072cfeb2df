"""Pico models of every form a cut can take, and small tokenizers of the kinds that llama.cpp knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from tailored_llama.families import LayerWidths, with_widths
from tailored_llama.shaped import register

VOCABULARY = 320
TEXTS = (
    "The cat sat on the mat, and the dog didn't like it at all.",
    "In 1984 there were 2,345 owls; they'd flown 10000 km.\n\nNobody    counted them twice!",
    "Ünïcödé — naïve café, 東京, 🙂 and \ttabs.",
    "Once upon a time there was a little owl who sat on a cat.",
)
ODD = [LayerWidths(6, 3, 37), LayerWidths(2, 1, 5), LayerWidths(4, 2, 64)]
"""Layers of hidden width 32 with heads of 8: grouped queries, head counts that do not divide it, odd MLPs."""


def pico(
    widths: Sequence[LayerWidths], *, seed: int = 0, vocabulary: int = VOCABULARY, **settings: Any
) -> PreTrainedModel:
    """A random model whose predictions are far from even, so that a greedy choice is never a tie."""
    register()
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=len(widths),
        num_attention_heads=8, num_key_value_heads=4, head_dim=8, max_position_embeddings=256,
        bos_token_id=1, eos_token_id=2, **settings,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(with_widths(config, list(widths))).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(mean=float("norm" in name), std=0.3)
    return model


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
