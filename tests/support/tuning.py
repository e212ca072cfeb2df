"""A pico model and rows that a tuning of a few steps learns, and settings for it."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.support.pico import fresh, saved

WORDS = [
    "<s>", "?", ".", "Passage:", "Question:", "Answer:", "yes", "no", "is", "the", "red", "blue", "big",
    "box", "cup", "a",
]  # fmt: skip
QUICK = {
    "shots": 8, "epochs": 2, "batch_size": 4, "learning_rate": 1e-2, "prompt": "paper", "precision": "fp32",
}  # fmt: skip


def write_base(out: Path) -> Path:
    """A pico model and a tokenizer of whole words, on the disk; returns `out`."""
    model = fresh(vocabulary=len(WORDS))
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<s>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return saved(
        model, out, PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="<s>")
    )


def write_boolq(folder: Path) -> dict[str, str]:
    """Thirty rows of boolq to train on, ten others to be scored."""
    rows = [
        {
            "passage": f"the {size} {thing} is {colour} . {'a ' * extra}",
            "question": f"is the {thing} red",
            "label": int(colour == "red"),
        }
        for size in ("big", "the") for thing in ("box", "cup") for colour in ("red", "blue")
        for extra in range(5)
    ]  # fmt: skip
    for split, part in (("train", rows[:30]), ("validation", rows[30:])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return {"boolq": str(folder)}
