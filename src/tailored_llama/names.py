"""Validation of names and paths from user input. Each is checked once, where it is read.

The checks raise ValueError, as pydantic's validators do: `Annotated[str, AfterValidator(check_path)]`.
"""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable

LONGEST_NAME, MOST_BYTES = 100, 120
"""Maximum length of a name, in characters and in bytes of UTF-8. With the affixes of a stage directory
(`.evaluate-dense_tuned-`, a digest, host and process id) it fits into the 255 bytes of a file name."""
LONGEST_PART, LONGEST_PATH = 255, 4096
"""Maximum bytes of one path component and of a path, on most file systems."""
LONGEST_WORD = 200
"""Characters of a word that is compared with known ones."""
SEPARATORS = "/\\"
ELSEWHERE = '<>:"|?*'
"""Characters that are not allowed in file names on Windows and on FAT file systems."""
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in "123456789")}
BIDIRECTIONAL = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the text direction, so that a name is displayed as another."""


def check_device(device: str) -> str:
    """`device`, if it is `auto` or is written like a device of torch; ValueError otherwise."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", device):
        raise ValueError(f"{device!r} is no device; use auto, cpu, cuda, mps, or a number as in cuda:1")
    return device


def check_name(name: str, *, longest: int = LONGEST_NAME, most_bytes: int = MOST_BYTES) -> str:
    """`name`, if it can be part of a file name on every system.

    ValueError if it is empty, `.` or `..`, over 100 characters (or 120 bytes), a device of Windows, begins
    with a space, ends with a space or a dot, or has a separator, a control character or one of `<>:"|?*`.
    """
    size = len(name.encode(errors="surrogatepass"))
    char = next((char for char in SEPARATORS + ELSEWHERE if char in name), None)
    problems = {
        "is empty": not name.strip(),
        f"has {len(name)} characters, more than {longest}": len(name) > longest,
        "has a control character": _has_controls(name) or bool(BIDIRECTIONAL & set(name)),
        f"has {size} bytes in UTF-8, more than {most_bytes}": size > most_bytes,
        f"has a '{char}'": char is not None,
        "begins with a space": name.startswith(" "),
        "ends with a space or a dot": name.endswith((" ", ".")),
        "is a device on Windows": name.partition(".")[0].strip().upper() in DEVICES,
    }
    for problem, applies in problems.items():
        if applies:
            raise ValueError(f"a name becomes part of a file name, and this one {problem}; choose another")
    return name


def check_path(path: str) -> str:
    """`path`, with `~` replaced by the home directory, if a file of that name can exist.

    ValueError if it is empty, has a control character, is too long, or begins with `~` and no such user.
    """
    if not path.strip():
        raise ValueError("the path is empty; write one")
    if _has_controls(path):
        raise ValueError("the path has a control character; remove it")
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        user = expanded.partition(os.sep)[0]
        raise ValueError(f"there is no user for '{user[:LONGEST_NAME]}'; write the full path")
    parts = expanded.split(os.sep)
    if (
        len(os.fsencode(expanded)) > LONGEST_PATH
        or max(len(os.fsencode(part)) for part in parts) > LONGEST_PART
    ):
        raise ValueError("the path is longer than file systems allow; use a shorter one")
    return expanded


def same_name(names: Iterable[str]) -> str | None:
    """The first of `names` that equals an earlier one on a file system that ignores case, else None."""
    seen = set[str]()
    for name in names:
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen:
            return name
        seen.add(folded)
    return None


def suggest(word: str, words: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"`, or "" if no word is similar."""
    near = difflib.get_close_matches(word, list(words), n=1) if len(word) <= LONGEST_WORD else []
    return f" (did you mean '{near[0]}'?)" if near else ""


def _has_controls(text: str) -> bool:
    """Whether `text` has control characters, surrogates, or line or paragraph separators."""
    return any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)
