"""Training the world's model: batches and first weights."""

from __future__ import annotations

import pytest
import torch

from tools.world import pages
from tools.world.architecture import SIZES, config, make_model
from tools.world.batches import ANSWER_WEIGHT, batches, encode
from tools.world.tokenizer import VOCABULARY, train_tokenizer


@pytest.fixture(scope="module")
def documents():
    return list(pages.documents(1, 300))


@pytest.fixture(scope="module")
def tokenizer(documents):
    return train_tokenizer(d.text + d.answer for d in documents)


def test_the_tokenizer_is_small_and_gives_the_text_back(tokenizer, documents):
    assert len(tokenizer) <= VOCABULARY
    for document in documents[:50]:
        text = document.text + document.answer
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_an_answer_never_merges_with_its_context(tokenizer, documents):
    for document in documents:
        whole = tokenizer(document.text + document.answer)["input_ids"]
        parts = tokenizer(document.text)["input_ids"]
        if document.answer:
            parts = parts + tokenizer(document.answer)["input_ids"]
        assert whole == parts


def test_batches_hold_every_token_once(tokenizer, documents):
    made = batches(documents, tokenizer, chunk=1, batch_tokens=512)
    lengths = sorted(len(ids) for ids, _ in encode(documents, tokenizer))
    kept = sorted(int((row > 0).sum()) for batch in made for row in batch.weights)
    assert kept == lengths
    assert sum(batch.count for batch in made) == sum(lengths)
    assert all(batch.tokens.numel() <= 512 for batch in made)
    padding = sum(batch.tokens.numel() for batch in made) / sum(lengths)
    assert padding < 1.15


def test_answers_weigh_more_and_padding_nothing(tokenizer):
    document = pages.Document("Question: Who owns the cup?\nAnswer:", " the cook")
    (batch,) = batches([document, pages.Document("Ben.")], tokenizer, chunk=0, batch_tokens=512)
    answer = len(tokenizer(document.answer)["input_ids"])
    longest = batch.weights[batch.weights.sum(1).argmax()]
    assert longest[-answer - 1 : -1].tolist() == [ANSWER_WEIGHT] * answer
    assert longest[-1] == 1
    assert (batch.weights.min(1).values == 0).sum() == 1


def test_the_first_query_head_of_a_group_looks_for_alike_tokens():
    torch.manual_seed(0)
    shape = config("base", bos=1, eos=2, pad=3)
    attention = make_model(shape).model.layers[1].self_attn
    size = shape.head_dim
    for group in range(4):
        key = attention.k_proj.weight[group * size : (group + 1) * size]
        first = attention.q_proj.weight[2 * group * size : (2 * group + 1) * size]
        second = attention.q_proj.weight[(2 * group + 1) * size : (2 * group + 2) * size]
        assert torch.equal(key, first)
        assert not torch.equal(key, second)
        assert torch.allclose(key @ key.T, 0.64 * torch.eye(size), atol=1e-5)


def test_sizes():
    from transformers import LlamaForCausalLM

    counts = {}
    for size in SIZES:
        with torch.device("meta"):
            model = LlamaForCausalLM(config(size, bos=1, eos=2, pad=3))
        counts[size] = sum(p.numel() for p in model.parameters())
    assert 2e6 <= counts["base"] <= 3e6
    assert counts["sibling"] >= 5e6
