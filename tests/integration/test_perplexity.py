"""Perplexity on the real corpora: LLM-Pruner's windows, and numbers that a plain loop gives as well."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from tailored_llama import checkpoint, evaluate
from tailored_llama.stages.evaluate.perplexity import corpus

WINDOWS = 40


@pytest.mark.parametrize("name", ["wikitext2", "ptb"])
def test_windows_do_not_overlap_and_every_token_but_the_first_is_predicted(
    name: str, shared: Path, tmp_path: Path
) -> None:
    directory = shared / "models" / "stories260K"
    model, tokenizer = checkpoint.load_model(directory), checkpoint.load_tokenizer(directory)
    data = {name: str(shared / "data" / name / "test.txt")}
    whole = corpus(name, data)
    lines = Path(data[name]).read_text().splitlines()
    assert whole.count("\n\n") >= len(lines) - 1
    ids = tokenizer.encode(whole[:40_000])
    part = tmp_path / "part.txt"
    part.write_text(tokenizer.decode(ids[: 128 * WINDOWS + 50], skip_special_tokens=True))
    row = evaluate(directory, perplexity=[str(part)], length=128)
    figures = row["perplexity"][str(part)]
    stream = torch.tensor(tokenizer.encode(part.read_text()))
    losses = []
    with torch.inference_mode():
        for start in range(0, len(stream) - 127, 128):
            window = stream[start : start + 128]
            losses.append(cross_entropy(model(window[None]).logits[0, :-1], window[1:], reduction="none"))
    assert figures["windows"] == len(losses) == len(stream) // 128
    assert figures["tokens"] == 127 * len(losses)
    assert figures["perplexity"] == pytest.approx(float(torch.cat(losses).mean().exp()), rel=1e-5)
    # A model of children's stories is lost in either corpus, but far from even over its vocabulary of 512.
    assert 20 < figures["perplexity"] < 400
    assert (row["tasks"], row["mean"], row["chance"]) == ({}, None, None)
