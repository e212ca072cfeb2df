"""Names and paths that come from outside. Each is checked once, where it is read.

The checks raise ValueError, as pydantic's validators do: `Annotated[str, AfterValidator(check_path)]`.
"""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Iterable

LONGEST_NAME, MOST_BYTES = 100, 120
"""Of a name, in characters and in bytes of UTF-8: with what a stage puts around it (`.evaluate-dense_tuned-`,
a digest, host and process of a partial directory) it fits in the 255 bytes of a file system."""
LONGEST_PART, LONGEST_PATH = 255, 4096
"""Bytes of one part of a path and of a whole one, on most file systems."""
LONGEST_WORD = 200
"""Characters of a word that is compared with known ones."""
SEPARATORS = "/\\"
ELSEWHERE = '<>:"|?*'
"""No part of a file name on Windows, nor on most USB sticks."""
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in "123456789")}
TURNED = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Change the direction of text, and so show a name as another."""


def check_name(name: str, *, longest: int = LONGEST_NAME, most_bytes: int = MOST_BYTES) -> str:
    """`name`, where it can be part of a file's name on every system.

    ValueError where it is empty, `.` or `..`, over 100 characters (or 120 bytes), a device of Windows, begins
    with a space, ends with a space or a dot, or has a separator, a control character or one of `<>:"|?*`.
    """
    size = len(name.encode(errors="surrogatepass"))
    char = next((char for char in SEPARATORS + ELSEWHERE if char in name), None)
    problems = {
        "is empty": not name.strip(),
        f"has {len(name)} characters, more than {longest}": len(name) > longest,
        "has a control character": _has_controls(name) or bool(TURNED & set(name)),
        f"has {size} bytes in UTF-8, more than {most_bytes}": size > most_bytes,
        f"has a '{char}'": char is not None,
        "begins with a space": name.startswith(" "),
        "ends with a space or a dot": name.endswith((" ", ".")),
        "is a device on Windows": name.partition(".")[0].strip().upper() in DEVICES,
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(f"a name becomes part of a file's name, and this one {problem}; choose another")
    return name


def check_path(path: str) -> str:
    """`path`, with `~` replaced by the home directory, where a file of that name can exist.

    ValueError where it is empty, has a control character, is too long, or begins with `~` and no such user.
    """
    if not path.strip():
        raise ValueError("the path is empty; write one")
    if _has_controls(path):
        raise ValueError("the path has a control character; write it without")
    found = os.path.expanduser(path)
    if found.startswith("~"):
        user = found.partition(os.sep)[0]
        raise ValueError(f"there is no user for '{user[:LONGEST_NAME]}'; write the whole path")
    parts = found.split(os.sep)
    if len(os.fsencode(found)) > LONGEST_PATH or max(len(os.fsencode(part)) for part in parts) > LONGEST_PART:
        raise ValueError("the path is longer than a file system takes; write a shorter one")
    return found


def same_name(names: Iterable[str]) -> str | None:
    """The first of `names` that is another one where a file system ignores case; None where none is."""
    seen = set[str]()
    for name in names:
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen:
            return name
        seen.add(folded)
    return None


def suggest(word: str, words: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"`, or nothing where no word is near."""
    near = difflib.get_close_matches(word, list(words), n=1) if len(word) <= LONGEST_WORD else []
    return f" (did you mean '{near[0]}'?)" if near else ""


def _has_controls(text: str) -> bool:
    """Control characters, halves of surrogate pairs, and separators of lines and paragraphs."""
    return any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)
