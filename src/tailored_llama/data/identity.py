"""When two rows ask the same question: for the guard between splits, and to divide one file into two.

A question is what the model is shown before it answers: the input fields. Options, labels and references are
no part of it, so the same question with other distractors, in another order or with another reference is
still the same.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tailored_llama.data.prompt import Prompt
from tailored_llama.data.templates import names_in

COMMON = 3
"""Rows that share an input but no option, from which on the input is an instruction and no question."""
# Compatibility forms that are other characters: 2 and its superscript, 1 and its circled form.
DISTINCT = ("<super>", "<sub>", "<circle>", "<fraction>", "<font>", "<square>")
ALIKE = str.maketrans({
    **dict.fromkeys("‘’‚‛′", "'"), **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("\u00ad\u200b\u2060\ufeff\ufe0e\ufe0f¿¡", None),  # invisible, or openings
})  # fmt: skip
STOPS = ".,;:?…。．、，；：？؟،؛।॥"
# A stop, or an exclamation mark that is no factorial, behind a word. Within one it tells texts apart (2.5 and
# 25), and so it does beside other signs (`:)`, `(;`).
PUNCTUATION = re.compile(
    rf"(?<=[^\s{STOPS}!！(\[{{<>=+*/|^~_#@&\\-])(?:[{STOPS}]|(?<![0-9])[!！])[{STOPS}!！]*(?=['\"]?(?:\s|$))"
    r"|(?<=\w) [?!]+$"
)
QUOTED = re.compile(r"""(['"])([^'"]*)\1""")


@dataclass(frozen=True)
class Question:
    """The input of a row, and its options, both normalised."""

    text: str
    options: frozenset[str]


@dataclass(frozen=True)
class Identity:
    """The `fields` by which a task's questions are told apart; of `unordered` ones in any order.

    Where `options` count, two rows with the same input are still different questions if the input is none
    (BLiMP's, of which only the options are shown), or an instruction that many rows share, and they have no
    option in common.
    """

    fields: tuple[str, ...]
    unordered: bool = False
    options: bool = True

    def question(self, values: Mapping[str, Any], options: Iterable[str]) -> Question:
        """The question of a row with these `values`."""
        texts = [_leaves(values[field]) for field in self.fields]
        text = "\x1f".join(sorted(texts) if self.unordered else texts)
        return Question(text, frozenset(map(normalised, options)) if self.options else frozenset())


def identity_of(
    prompts: Iterable[Prompt], fields: Iterable[str], let: Mapping[str, str], options: str | None
) -> Identity:
    """The `fields` that some wording shows before it asks, without those that are options; where only options
    are shown, these. `let` and `options` are the task's expressions; a generation task has no options.
    """
    shown: set[str] = set()
    offered = set() if options is None else names_in(options, expression=True)
    for prompt in prompts:
        before, after = (names_in(source, expression=expression) for source, expression in prompt.sources())
        if prompt.partial:
            shown |= before | after
        else:
            shown |= before
            offered |= set() if options is None else after
    asked, choices = (set(fields) & _read(let, names) for names in (shown, offered))
    return Identity(tuple(sorted(asked - choices or asked)), unordered=asked <= choices)


def _read(let: Mapping[str, str], names: set[str]) -> set[str]:
    """`names` and what they are made of: values that `let` derives in order, and the fields these read."""
    found = set(names)
    for name in reversed(list(let)):
        if name in found:
            found |= names_in(let[name], expression=True)
    return found


def normalised(text: str) -> str:
    """`text` without differences of form: case, composition, width, white space, kinds of quotes and dashes,
    the stops at the ends of words. Marks, symbols, emoji and signs stay.
    """
    text = text if text.isascii() else "".join(map(_usual, unicodedata.normalize("NFC", text)))
    text = unicodedata.normalize("NFC", text.translate(ALIKE).casefold())
    text = PUNCTUATION.sub("", " ".join(text.split()))
    whole = QUOTED.fullmatch(text)
    return whole[2] if whole else text


def groups(questions: Sequence[Question]) -> list[int]:
    """A number for each question, the same for those that are the same, directly or through others."""
    parent = list(range(len(questions)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    common = _common(questions)
    first: dict[tuple[str, str | None], int] = {}
    for index, question in enumerate(questions):
        for key in _keys(question, common):
            parent[root(index)] = root(first.setdefault(key, index))
    return [root(index) for index in range(len(questions))]


def repeated(questions: Sequence[Question], scored: Sequence[Question]) -> list[bool]:
    """Of each of the `questions` whether it is also one of the `scored`."""
    common = _common([*questions, *scored])
    seen = {key for question in scored for key in _keys(question, common)}
    return [any(key in seen for key in _keys(question, common)) for question in questions]


def divide(questions: Sequence[Question], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices of two parts, in order, the first with about `share` of the rows, drawn by `seed`; what is the
    same question is on one side. An empty part where all are the same.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups(questions)):
        members[group].append(index)
    drawn = sorted(members.values())
    random.Random(seed).shuffle(drawn)
    wanted = min(max(round(share * len(questions)), 1), len(questions) - 1)
    first: list[int] = []
    second: list[int] = []
    for rows in drawn:
        (first if len(first) + len(rows) <= wanted else second).extend(rows)
    if not first and len(drawn) > 1:
        first = min(drawn, key=len)
        second = [index for index in second if index not in first]
    return sorted(first), sorted(second)


def _keys(question: Question, common: set[str]) -> list[tuple[str, str | None]]:
    """What two rows have to share one of to be the same question."""
    if question.options and (not question.text.strip("\x1f") or question.text in common):
        return [(question.text, option) for option in question.options]
    return [(question.text, None)]


def _common(questions: Sequence[Question]) -> set[str]:
    """Inputs that are instructions ("Which is true?"), repeated before options that share nothing."""
    used: dict[str, set[str]] = defaultdict(set)
    apart: dict[str, int] = defaultdict(int)
    for question in questions:
        if question.options and used[question.text].isdisjoint(question.options):
            used[question.text] |= question.options
            apart[question.text] += 1
    return {text for text, count in apart.items() if count >= COMMON}


def _leaves(value: Any) -> str:
    """The texts in a value, normalised; those of a list or mapping in any order."""
    if isinstance(value, Mapping):
        value = [f"{key}\x1e{_leaves(entry)}" for key, entry in value.items()]
    if isinstance(value, list | tuple):
        return "\x1e".join(sorted(_leaves(entry) for entry in value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return normalised(str(value))


def _usual(letter: str) -> str:
    """The usual form of a character that Unicode has several of for the same: full width, ligatures, ..."""
    decomposed = unicodedata.decomposition(letter)
    plain = decomposed.startswith("<") and not decomposed.startswith(DISTINCT)
    return unicodedata.normalize("NFKC", letter) if plain else letter
