"""Duplicate questions: detected between splits, and kept on one side when one file is divided into two.

A question is defined by its input fields, which the model reads before it answers. Options, labels and
references do not count: the same question with other distractors, in another order or with another reference
is still the same.
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
from tailored_llama.strict_json import Json

COMMON = 3
"""An input that this many rows share without sharing an option is an instruction, not a question."""
# Compatibility forms that count as different characters: 2 and its superscript, 1 and its circled form.
DISTINCT = ("<super>", "<sub>", "<circle>", "<fraction>", "<font>", "<square>")
ALIKE = str.maketrans({
    **dict.fromkeys("‘’‚‛′", "'"), **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("\u00ad\u200b\u2060\ufeff\ufe0e\ufe0f¿¡", None),  # invisible, or openings
})  # fmt: skip
STOPS = ".,;:?…。．、，；：？؟،؛।॥"
# Punctuation after a word, but not a factorial's exclamation mark. Punctuation inside a word (2.5 and 25) and
# next to other symbols (`:)`, `(;`) is significant and stays.
PUNCTUATION = re.compile(
    rf"(?<=[^\s{STOPS}!！(\[{{<>=+*/|^~_#@&\\-])(?:[{STOPS}]|(?<![0-9])[!！])[{STOPS}!！]*(?=['\"]?(?:\s|$))"
    r"|(?<=\w) [?!]+$"
)
QUOTED = re.compile(r"""(['"])([^'"]*)\1""")


@dataclass(frozen=True)
class Question:
    """The input of a row and its options, both normalised."""

    text: str
    options: frozenset[str]


@dataclass(frozen=True)
class Identity:
    """The `fields` that distinguish a task's questions; if `unordered`, their order does not matter.

    With `options`, two rows with the same input still differ if they have no option in common and the input
    is empty (BLiMP shows only options) or an instruction that many rows share.
    """

    fields: tuple[str, ...]
    unordered: bool = False
    options: bool = True

    def question(self, values: Mapping[str, Json], options: Iterable[str]) -> Question:
        """The question of a row with these `values`."""
        texts = [_leaves(values[field]) for field in self.fields]
        text = "\x1f".join(sorted(texts) if self.unordered else texts)
        return Question(text, frozenset(map(normalised, options)) if self.options else frozenset())


def identity_of(
    prompts: Iterable[Prompt], fields: Iterable[str], let: Mapping[str, str], options: str | None
) -> Identity:
    """The `fields` that any prompt's context reads, except options; the options if no other field is read.

    `let` and `options` are the task's expressions; a generation task has no options.
    """
    context_names: set[str] = set()
    option_names = set() if options is None else names_in(options, expression=True)
    for prompt in prompts:
        context, answer = (names_in(source, expression=expression) for source, expression in prompt.sources())
        if prompt.partial:
            context_names |= context | answer
        else:
            context_names |= context
            option_names |= set() if options is None else answer
    inputs, choices = (set(fields) & _dependencies(let, names) for names in (context_names, option_names))
    return Identity(tuple(sorted(inputs - choices or inputs)), unordered=inputs <= choices)


def _dependencies(let: Mapping[str, str], names: set[str]) -> set[str]:
    """`names` and all names that they depend on through the ordered definitions in `let`."""
    result = set(names)
    for name in reversed(list(let)):
        if name in result:
            result |= names_in(let[name], expression=True)
    return result


def normalised(text: str) -> str:
    """`text` with case, Unicode composition, width, white space, quotes and dashes normalised and punctuation
    at the ends of words removed. Diacritics, symbols and emoji are kept.
    """
    text = text if text.isascii() else "".join(map(_canonical, unicodedata.normalize("NFC", text)))
    text = unicodedata.normalize("NFC", text.translate(ALIKE).casefold())
    text = PUNCTUATION.sub("", " ".join(text.split()))
    quoted = QUOTED.fullmatch(text)
    return quoted[2] if quoted else text


def groups(questions: Sequence[Question]) -> list[int]:
    """A group number for each question. Equal questions share a number; equality is transitive."""
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
    """For each of the `questions`, whether it also occurs in `scored`."""
    common = _common([*questions, *scored])
    seen = {key for question in scored for key in _keys(question, common)}
    return [any(key in seen for key in _keys(question, common)) for question in questions]


def divide(questions: Sequence[Question], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Sorted indices of two parts drawn with `seed`; the first has about `share` of the rows. Rows with the
    same question go to the same part. One part is empty if all rows have the same question.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups(questions)):
        members[group].append(index)
    drawn = sorted(members.values())
    random.Random(seed).shuffle(drawn)
    target = min(max(round(share * len(questions)), 1), len(questions) - 1)
    first: list[int] = []
    second: list[int] = []
    for rows in drawn:
        (first if len(first) + len(rows) <= target else second).extend(rows)
    if not first and len(drawn) > 1:
        first = min(drawn, key=len)
        second = [index for index in second if index not in first]
    return sorted(first), sorted(second)


def _keys(question: Question, common: set[str]) -> list[tuple[str, str | None]]:
    """Keys of a question; two questions are the same if they share a key."""
    if question.options and (not question.text.strip("\x1f") or question.text in common):
        return [(question.text, option) for option in question.options]
    return [(question.text, None)]


def _common(questions: Sequence[Question]) -> set[str]:
    """Inputs that are instructions ("Which is true?"): they repeat with disjoint options."""
    used: dict[str, set[str]] = defaultdict(set)
    disjoint: dict[str, int] = defaultdict(int)
    for question in questions:
        if question.options and used[question.text].isdisjoint(question.options):
            used[question.text] |= question.options
            disjoint[question.text] += 1
    return {text for text, count in disjoint.items() if count >= COMMON}


def _leaves(value: Any) -> str:
    """The strings in a value, normalised and joined; the order within a list or mapping does not matter."""
    if isinstance(value, Mapping):
        value = [f"{key}\x1e{_leaves(entry)}" for key, entry in value.items()]
    if isinstance(value, list | tuple):
        return "\x1e".join(sorted(_leaves(entry) for entry in value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return normalised(str(value))


def _canonical(letter: str) -> str:
    """The canonical form of a compatibility character: full width, ligatures, ..."""
    decomposed = unicodedata.decomposition(letter)
    plain = decomposed.startswith("<") and not decomposed.startswith(DISTINCT)
    return unicodedata.normalize("NFKC", letter) if plain else letter
