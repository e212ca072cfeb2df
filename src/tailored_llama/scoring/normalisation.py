"""Normalisation of texts for comparison: as in SQuAD, and the words of a text for ROUGE.

On English prose both agree with the published scripts. They also handle cases that the scripts do not: the
scripts support only ASCII, treat `2.5` as `25` and `-5` as `5`, and treat all texts without letters as equal.
"""

from __future__ import annotations

import re
import unicodedata

ARTICLES = frozenset(("a", "an", "the"))
QUOTES = "`´"
"""Symbols by Unicode, quotation marks by use."""
ALIKE = str.maketrans({
    "−": "-", "⁄": "/", "∕": "/", "٫": ".", "٬": ",", "٪": "%", "؉": "‰", "؊": "‱",
    **dict.fromkeys("\u00ad\u200b\u2060\ufeff\ufe0e\ufe0f", None),
})  # fmt: skip
"""Minus sign, slashes of fractions, and Arabic separators and percent signs in their usual form; what has no
width and no meaning goes. Dashes and wide forms are found by what Unicode says of them.
"""
UNITS = "%‰‱′″‴"
"""Behind a number: percent; minutes and seconds, feet and inches."""
THOUSANDS = re.compile(r"(?<!\d)(?<!\d[,.'’])\d{1,3}(?:(?:[,'’]\d{3})+|(?:,\d{2})+,\d{3})(?!\d|[,'’]\d)")
"""A number in groups of three digits, or of two and three as in India."""
LEADING_POINT = re.compile(r"(?<![\w.])\.(?=\d)")
GAP = "\0"
BETWEEN_NUMBERS = re.compile(rf"(?<=\d){GAP}+(?=\d)")
"""Removed punctuation between two numbers, which must not be joined."""
SPACED = re.compile(r"(?<=\d)\s+-\s+(?=\d)|(?<=\d)\s+(?=[%‰‱])")
"""White space in a range (`5 - 10`) and before a percent sign."""
UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x31F0, 0x31FF),
    (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)  # fmt: skip
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese: no spaces between words."""


def normalised(text: str) -> str:
    """`text` without case, punctuation, articles and extra white space (Rajpurkar et al. 2016, SQuAD).

    Punctuation is what Unicode calls so. It stays where it is part of a number: signs, decimal points,
    slashes, colons, ranges, percent, minutes and seconds; commas between thousands go. Symbols (`+`, `$`,
    `=`, emoji) stay, and so does the # of `C#`. Of a text of articles or punctuation alone these stay: it
    equals only itself.
    """
    folded = unicodedata.normalize("NFC", _unified(text).casefold())
    folded = SPACED.sub(lambda found: found[0].strip(), folded)
    folded = THOUSANDS.sub(lambda number: re.sub(r"[,'’]", "", number[0]), folded)
    folded = LEADING_POINT.sub("0.", folded)
    bare = "".join(char if _stays(folded, place) else GAP for place, char in enumerate(folded))
    words = BETWEEN_NUMBERS.sub(" ", bare).replace(GAP, "").split()
    kept = [word for word in words if word not in ARTICLES] or words or folded.split()
    return " ".join(kept) or text.strip()


def _unified(text: str) -> str:
    """`text` with one form for characters that differ only in width or dash length."""

    def form(char: str) -> str:
        wide = unicodedata.decomposition(char).startswith(("<wide>", "<narrow>"))
        plain = unicodedata.normalize("NFKC", char) if wide else char
        return "-" if unicodedata.category(plain[-1]) == "Pd" else plain

    return "".join(map(form, unicodedata.normalize("NFC", text).translate(ALIKE)))


def _stays(text: str, place: int) -> bool:
    """Whether the character at `place` is kept: not punctuation, or punctuation that is part of a number."""
    char, before, after = text[place], text[place - 1 : place], text[place + 1 : place + 2]
    if char in QUOTES or not unicodedata.category(char).startswith("P"):
        return char not in QUOTES
    if _is_number(before) and _is_number(after):
        return char in ".-/:%"
    if char == "-":
        return _is_signed(text[place + 1 :]) and (not _is_word(before) or _is_exponent(text[:place]))
    if char == "#":
        return before.isalpha() and not _is_word(after)
    return char in UNITS and _is_number(before)


def _is_number(char: str) -> bool:
    return bool(char) and unicodedata.category(char) in ("Nd", "No")


def _is_word(char: str) -> bool:
    return bool(char) and unicodedata.category(char)[0] in "LMN"


def _is_signed(rest: str) -> bool:
    """Whether a number follows, optionally after a currency symbol or a decimal point."""
    if rest and unicodedata.category(rest[0]) == "Sc":
        rest = rest[1:]
    return _is_number(rest.removeprefix(".")[:1])


def _is_exponent(head: str) -> bool:
    """Whether the text before a sign is the start of a number such as `1e-5`."""
    return head[-1:] == "e" and _is_number(head[-2:-1])


def words_of(text: str) -> list[str]:
    """Lower-case words; for ASCII as in rouge-score: runs of letters and digits.

    In other scripts, marks belong to their letters. Every symbol, and every character of a script without
    spaces between words, is a word. A text without words is split into characters.
    """
    words: list[str] = []
    last = ""  # kind of the previous character
    for char in unicodedata.normalize("NFC", text.lower()):
        kind = _kind(char)
        if (kind == "mark" and last) or kind == "word" == last:
            words[-1] += char
        elif kind in ("word", "mark", "single"):
            words.append(char)
        if kind not in ("mark", "joiner"):
            last = kind
    return words or [char for char in text if not char.isspace()]


def _kind(char: str) -> str:
    """word, single (a word by itself), mark, joiner (zero width), or "" for separators."""
    category = unicodedata.category(char)
    if category[0] in "LN":
        return "single" if any(first <= ord(char) <= last for first, last in UNSPACED) else "word"
    if category[0] == "M":
        return "mark"
    if category[0] == "S" and not char.isascii():
        return "single"
    return "joiner" if category == "Cf" else ""
