"""Vocabularies for llama.cpp, and tokenizers that it does not have."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from gguf import TokenType
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tailored_llama.checkpoint import open_weights
from tailored_llama.errors import CheckpointError
from tailored_llama.families import LayerWidths
from tailored_llama.stages.export.gguf import to_gguf
from tailored_llama.stages.export.gguf.bytelevel import LLAMA3
from tailored_llama.stages.export.gguf.tokenizer import read_vocabulary
from tests.support.pico import VOCABULARY, layered
from tests.support.tokenizers import byte_level, sentence_pieces

WORDS = pre_tokenizers.ByteLevel(add_prefix_space=False)


def test_byte_level_has_merges_and_a_name(tmp_path: Path) -> None:
    tokenizer = byte_level(tmp_path)
    found = read_vocabulary(tmp_path, VOCABULARY)
    assert (found.model, found.pre, found.add_bos, found.add_eos) == ("gpt2", "gpt-2", False, False)
    assert found.special == {"bos": 1, "eos": 2, "unk": 0}
    assert list(found.tokens[:10]) == tokenizer.convert_ids_to_tokens(range(10))
    assert set(found.types[:3]) == {TokenType.CONTROL}
    assert found.types[3] == TokenType.NORMAL
    assert all(merge.count(" ") == 1 for merge in found.merges)


def test_rows_without_a_token_are_filled(tmp_path: Path) -> None:
    size = len(byte_level(tmp_path))
    found = read_vocabulary(tmp_path, size + 2)
    assert list(found.tokens[size:]) == [f"[PAD{size}]", f"[PAD{size + 1}]"]
    assert set(found.types[size:]) == {TokenType.UNUSED}


def test_sentence_pieces_have_scores_that_order_the_merges(tmp_path: Path) -> None:
    tokenizer = sentence_pieces(tmp_path)
    found = read_vocabulary(tmp_path, len(tokenizer))
    assert (found.model, found.space_first) == ("llama", True)
    row = {token: index for index, token in enumerate(found.tokens)}
    assert found.types[0] == TokenType.UNKNOWN
    assert found.types[row["<0x0A>"]] == TokenType.BYTE
    assert found.scores[row["▁the"]] > found.scores[row["▁cat"]] > found.scores[row["th"]]


def test_a_space_before_the_text_is_as_in_the_tokenizer(tmp_path: Path) -> None:
    sentence_pieces(tmp_path, prepend=False)
    assert not read_vocabulary(tmp_path, VOCABULARY).space_first


def test_begin_and_end_are_as_transformers_puts_them(tmp_path: Path) -> None:
    tokenizer = byte_level(tmp_path)
    template = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    tokenizer.backend_tokenizer.post_processor = template
    tokenizer.save_pretrained(tmp_path)
    found = read_vocabulary(tmp_path, VOCABULARY)
    assert (found.add_bos, found.add_eos) == (True, True)


def test_several_chat_templates_keep_their_names(tmp_path: Path) -> None:
    tokenizer = byte_level(tmp_path)
    tokenizer.chat_template = {"default": "a", "tool_use": "b"}
    tokenizer.save_pretrained(tmp_path)
    found = read_vocabulary(tmp_path, VOCABULARY)
    assert found.chat_template == [
        {"name": "default", "template": "a"},
        {"name": "tool_use", "template": "b"},
    ]


def test_what_the_user_defined_is_no_control_token(tmp_path: Path) -> None:
    tokenizer = sentence_pieces(tmp_path)
    tokenizer.add_tokens([AddedToken("big▁owl", normalized=False)])
    tokenizer.save_pretrained(tmp_path)
    found = read_vocabulary(tmp_path, VOCABULARY)
    row = len(tokenizer) - 1
    assert (found.tokens[row], found.types[row]) == ("big owl", TokenType.USER_DEFINED)


def test_missing_bytes_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = Tokenizer(models.BPE({"<unk>": 0, "a": 1, "b": 2, "ab": 3}, [("a", "b")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = WORDS
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        read_vocabulary(tmp_path, 4)
    assert "254 bytes have no token" in caplog.text


def plain_bytes(**model: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], **model))
    tokenizer.pre_tokenizer = WORDS
    return tokenizer


def with_parts(normalizer: Any = None, pre: Any = WORDS, **model: Any) -> Tokenizer:
    tokenizer = plain_bytes(**model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    return tokenizer


def split(expression: str) -> Any:
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated"), last])


REFUSED = {
    "other words": (
        with_parts(pre=pre_tokenizers.Whitespace()),
        r"no pre-tokenizer like its Whitespace.*gpt-2",
    ),
    "another expression": (with_parts(pre=split(r"\p{N}{1,2}| ?\p{L}+")), "like its Split . ByteLevel"),
    "almost llama3": (with_parts(pre=split(LLAMA3.replace("1,3", "1,4"))), "like its Split . ByteLevel"),
    "a space put first": (
        with_parts(pre=pre_tokenizers.ByteLevel(add_prefix_space=True)),
        "like its ByteLevel",
    ),
    "whole words": (with_parts(ignore_merges=True), "like its ByteLevel"),
    "lower case": (with_parts(normalizer=normalizers.Lowercase()), "uses a normalizer, which"),
    "ends of words": (with_parts(end_of_word_suffix="</w>"), "uses end_of_word_suffix, which"),
    "word level": (Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>")), "is WordLevel"),
    "unigram": (Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0)), "is Unigram"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_tokenizers_are_refused_before_writing(name: str, tmp_path: Path) -> None:
    tokenizer, match = REFUSED[name]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path / "tokenizer")
    weights = open_weights(layered([LayerWidths(1, 1, 4)]))
    with pytest.raises(CheckpointError, match=match) as raised:
        to_gguf(weights, tmp_path / "m.gguf", tokenizer_dir=tmp_path / "tokenizer", dtype="f16")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "m.gguf").exists()


def test_merges_that_are_not_sentencepieces_are_refused(tmp_path: Path) -> None:
    tokenizer = sentence_pieces(tmp_path)
    vocabulary = tokenizer.backend_tokenizer.get_vocab()
    tokenizer.backend_tokenizer.model = models.BPE(vocabulary, [("t", "h")], byte_fallback=True)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="would merge differently"):
        read_vocabulary(tmp_path, VOCABULARY)


def test_a_tokenizer_of_a_larger_model_is_refused(tmp_path: Path) -> None:
    byte_level(tmp_path)
    with pytest.raises(CheckpointError, match="has no row in an embedding of 100"):
        read_vocabulary(tmp_path, 100)


def test_other_tokens_around_a_text_are_refused(tmp_path: Path) -> None:
    tokenizer = byte_level(tmp_path)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<unk> $A", special_tokens=[("<unk>", 0)]
    )
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="other special tokens than bos and eos"):
        read_vocabulary(tmp_path, VOCABULARY)


def test_a_directory_without_tokenizer_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no tokenizer"):
        read_vocabulary(tmp_path, VOCABULARY)
