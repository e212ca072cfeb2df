"""Pico models and tokenizers that put tokens around a text, or have more tokens than the model."""

from __future__ import annotations

from pathlib import Path

from tokenizers import processors
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests.support.scoring_pico import tokenizer, write_split

CHOICE = """
metric: acc
scored: test
max_length: 64
fields: [text, label]
options: "['yes', 'no']"
gold: label | int
prompts:
  plain: {context: "{{ text }}\\nAnswer:"}
  bare: {context: ""}
source: {files: .}
"""
TEXT = "The owl sleeps by day."


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


def save(model: PreTrainedModel, words: PreTrainedTokenizerFast, directory: Path) -> Path:
    model.save_pretrained(directory)
    words.save_pretrained(directory)
    return directory


def choice_task(folder: Path, word: str = "owl") -> Path:
    for split in ("train", "test"):
        write_split(folder, split, [{"text": f"{split[1]} {word} {i}", "label": i % 2} for i in range(6)])
    (folder / "choice.yaml").write_text(CHOICE)
    return folder / "choice.yaml"
