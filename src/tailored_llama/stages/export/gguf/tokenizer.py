"""Converts a transformers tokenizer to a llama.cpp vocabulary: byte-level BPE or SentencePiece."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType
from transformers import PreTrainedTokenizerBase

from tailored_llama.checkpoint import load_tokenizer
from tailored_llama.data.tokens import Encoder, check_ids
from tailored_llama.errors import CheckpointError
from tailored_llama.stages.export.gguf import bytelevel, sentencepiece
from tailored_llama.stages.export.gguf.sentencepiece import Token

SPECIAL = ("bos", "eos", "unk", "pad")


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary as llama.cpp reads it: `model` is `gpt2` (byte-level BPE) or `llama` (SentencePiece).

    `tokens` and `types` have one entry for each row of the embedding. SentencePiece has `scores` (higher
    scores are merged first); byte-level BPE has `merges` and the name `pre` of its pre-tokenizer.
    """

    model: str
    tokens: Sequence[str]
    types: Sequence[TokenType]
    special: Mapping[str, int]
    add_bos: bool
    add_eos: bool
    chat_template: str | Sequence[Mapping[str, str]] | None
    scores: Sequence[float] = ()
    merges: Sequence[str] = ()
    pre: str = "default"
    space_first: bool = False

    def add_to(self, writer: GGUFWriter) -> None:
        """Write everything, including defaults: llama.cpp's defaults depend on the tokenizer."""
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.scores:
            writer.add_token_scores(self.scores)
        if self.merges:
            writer.add_token_merges(self.merges)
        for name, index in self.special.items():
            getattr(writer, f"add_{name}_token_id")(index)
        writer.add_add_bos_token(self.add_bos)
        writer.add_add_eos_token(self.add_eos)
        writer.add_add_space_prefix(self.space_first)
        if self.chat_template:
            writer.add_chat_template(self.chat_template)


def read_vocabulary(directory: Path, rows: int) -> Vocabulary:
    """The vocabulary of the tokenizer in `directory`, padded to `rows` embedding rows.

    Added tokens beyond the last row are omitted: the model cannot read them. Raises CheckpointError if
    llama.cpp has no such tokenizer or would split text differently, or if a token without a row can occur in
    text, is prepended to every text, or ends a text.
    """
    loaded = load_tokenizer(directory)
    backend = getattr(loaded, "backend_tokenizer", None)
    if backend is None:
        raise CheckpointError(
            f"{directory}: its tokenizer has no tokenizer.json; convert it to a fast tokenizer first"
        )
    # The tokenizer as transformers loaded it, not its files: llama.cpp has to agree with transformers.
    parsed: dict[str, Any] = json.loads(backend.to_str())
    if parsed["model"].get("type") != "BPE":
        raise CheckpointError(
            f"{directory}: its tokenizer is {parsed['model'].get('type')}, and only byte-level BPE and "
            f"SentencePiece BPE can be written as GGUF; export to hf instead"
        )
    check_ids(_used(loaded, parsed), rows, loaded, str(directory))
    tokens = _by_row(parsed, rows)
    common = Vocabulary(
        "", [], [], _special(loaded, rows), *_affixes(directory, loaded), _chat_template(loaded)
    )
    if sentencepiece.is_one(parsed):
        types = [sentencepiece.kind(token, loaded.unk_token_id) for token in tokens]
        return replace(
            common, model="llama", tokens=[sentencepiece.text(token) for token in tokens], types=types,
            scores=sentencepiece.scores(directory, parsed, [token.text for token in tokens]),
            space_first=sentencepiece.space_first(parsed),
        )  # fmt: skip
    return replace(
        common, model="gpt2", tokens=[token.text for token in tokens], types=[token.kind for token in tokens],
        merges=[" ".join(pair) for pair in parsed["model"]["merges"]],
        pre=bytelevel.pre_tokenizer(directory, parsed),
    )  # fmt: skip


def nameless(rows: int) -> Vocabulary:
    """A placeholder vocabulary of `rows` tokens, for timing llama.cpp on token ids."""
    named = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256]
    rest = range(len(named), rows)
    tokens = [*named, *(f"<{row}>" for row in rest)][:rows]
    types = [*kinds, *(TokenType.NORMAL for _ in rest)][:rows]
    special = {"unk": 0, "bos": 1, "eos": 2}
    return Vocabulary("llama", tokens, types, special, False, False, None, scores=[0.0] * rows)


def _by_row(parsed: Mapping[str, Any], rows: int) -> list[Token]:
    """The token of each embedding row; rows without a token get the type UNUSED and are never generated.
    Tokens without a row are omitted.
    """
    tokens = [Token(row, f"[PAD{row}]", TokenType.UNUSED) for row in range(rows)]
    kinds = {
        token["content"]: TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED
        for token in parsed["added_tokens"]
    }
    added = {token["content"]: token["id"] for token in parsed["added_tokens"]}
    for text, row in {**parsed["model"]["vocab"], **added}.items():
        if row < rows:
            tokens[row] = Token(row, text, kinds.get(text, TokenType.NORMAL))
    return tokens


def _special(loaded: PreTrainedTokenizerBase, rows: int) -> dict[str, int]:
    ids = {name: getattr(loaded, f"{name}_token_id") for name in SPECIAL}
    return {name: row for name, row in ids.items() if row is not None and row < rows}


def _used(loaded: PreTrainedTokenizerBase, parsed: Mapping[str, Any]) -> list[int]:
    """Tokens that occur in text, are prepended to every text, or end a text: all but other added tokens."""
    added = {token["content"] for token in parsed["added_tokens"]}
    pieces = sorted(row for text, row in parsed["model"]["vocab"].items() if text not in added)
    end = loaded.eos_token_id
    return [*pieces, *Encoder(loaded).before, *([] if end is None else [int(end)])]


def _affixes(directory: Path, loaded: PreTrainedTokenizerBase) -> tuple[bool, bool]:
    """Whether texts begin with bos and whether they end with eos, determined by tokenizing one."""
    plain = loaded("a", add_special_tokens=False)["input_ids"]
    full = loaded("a")["input_ids"]
    for add_bos in (False, True):
        for add_eos in (False, True):
            if full == [loaded.bos_token_id] * add_bos + plain + [loaded.eos_token_id] * add_eos:
                return add_bos, add_eos
    raise CheckpointError(
        f"{directory}: its tokenizer adds other special tokens than bos and eos to a text, which llama.cpp "
        f"does not support; export to hf instead"
    )


def _chat_template(loaded: PreTrainedTokenizerBase) -> str | list[dict[str, str]] | None:
    template: str | dict[str, str] | None = loaded.chat_template
    if isinstance(template, dict):
        return [{"name": name, "template": text} for name, text in template.items()]
    return template
