"""A pico model with a tokenizer of its own, and a few rows of every real task, for the tests of scoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

WORDS = (
    "Question: is the answer yes or no? Answer: A. the cat, B. the dog, because it was so. The answer is yes."
)
ARC = {"choices": {"text": ["a cat", "dogs", "the small owl"], "label": ["A", "B", "C"]}, "answerKey": "C"}
ROWS: dict[str, dict[str, Any]] = {
    "boolq": {"passage": "The owl sleeps by day.", "question": "does the owl sleep by day", "label": 1},
    "piqa": {"goal": "To wake an owl,", "sol1": "wait for the night.", "sol2": "shout.", "label": 0},
    "hellaswag": {
        "activity_label": "Owls", "ctx_a": "[header] An owl wakes [title] Look.", "ctx_b": "she",
        "label": "1",
        "endings": ["sings [substeps] a song.", "flies  away.", "is a fish.", "reads."],
    },
    "winogrande": {
        "sentence": "The owl fled from the cat as _ was hungry.", "option1": "the owl", "option2": "the cat",
        "answer": "2",
    },
    "arc_easy": {"question": "Which one flies?", **ARC},
    "arc_challenge": {"question": "Which one flies?", **ARC},
    "openbookqa": {"question_stem": "At night you may hear", **ARC},
}  # fmt: skip
TASKS = tuple(ROWS)
WRITTEN = """
kind: generation
metric: f1
scored: test
max_length: 64
fields: [question, answer]
references: "[answer]"
generation: {max_new_tokens: 12, stop: ["."]}
prompts:
  plain: {context: "{{question}} Answer:"}
  lines: {context: "{{question}}\\n", delimiter: ""}
"""


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


def pico(context: int = 256, vocabulary: int = 300) -> PreTrainedModel:
    """A random LLaMA of two layers with grouped queries, far from even in its predictions."""
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=context,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(mean=float("norm" in name), std=0.3)
    return model


def write_split(directory: Path, split: str, rows: list[dict[str, Any]]) -> Path:
    """`rows` as `directory`/`split`.jsonl; returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def written_task(folder: Path) -> Path:
    """A task of one's own whose answers are written: its file, with six rows a split beside it.

    So small a model learns no rule, only to write an answer: the questions are much alike.
    """
    for split in ("train", "test"):
        rows = [{"question": f"{split[1]} who is {i}?", "answer": ("owls", "cats")[i % 2]} for i in range(6)]
        write_split(folder, split, rows)
    (folder / "own.yaml").write_text(WRITTEN + "source: {files: .}\n")
    return folder / "own.yaml"
