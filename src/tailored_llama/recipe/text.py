"""Text files of users: UTF-8 with or without a byte order mark, or the encoding that the user names.

Rows, corpora, calibration texts, instructions and YAML files are all read here. Invalid bytes raise an error
with the line, the likely encoding and the fix; they are never replaced.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from pathlib import Path

from tailored_llama.errors import DataError

UTF8 = "utf-8"
CONVERT = "save it as UTF-8 (iconv -f {encoding} -t UTF-8 FILE)"
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",  # before UTF-16: they start with its marks
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
ESCAPES = {b"\x1b$B": "iso-2022-jp", b"\x1b$@": "iso-2022-jp", b"\x1b$)C": "iso-2022-kr"}
"""Escape sequences of encodings whose bytes are all ASCII, and so valid UTF-8."""
NOT_FOR_FILES = ("unicode-escape", "raw-unicode-escape", "idna", "punycode")
"""Python's encodings that are not used for files: those of source code and host names."""
MAGIC = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive; export it as CSV (UTF-8)",
    b"PAR1\x15": "a Parquet file; give it the suffix .parquet",
    b"\x1f\x8b": "compressed by gzip; give it the suffix .gz",
}
SAMPLE = 40
"""Maximum number of characters of the text in a message."""
GUESSED = 20_000
"""Number of bytes used to guess an encoding."""


def read_text(
    path: Path,
    *,
    encoding: str | None = None,
    keep_line_ends: bool = False,
    where: str = "",
    fix: str = CONVERT,
) -> str:
    """The text in `path`, without a byte order mark; line ends become `\\n` unless `keep_line_ends`.

    The default `encoding` is UTF-8. A file with the suffix `.gz` is decompressed. Raises DataError with
    `where`, the path and the reason if the file cannot be read; for another encoding, with the likely one and
    `fix`, in which `{encoding}` is replaced by it.
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or " ".join(str(problem).split())
        raise DataError(
            f"{where}{path} is not readable text ({reason}); check the name and the file"
        ) from None
    try:
        text = decode(data, encoding=encoding, fix=fix)
    except ValueError as problem:
        raise DataError(f"{where}{path} is not readable text: {problem}") from None
    return text if keep_line_ends else re.sub("\r\n?", "\n", text)


def decode(data: bytes, *, encoding: str | None = None, fix: str = CONVERT) -> str:
    """`data` as text, without a byte order mark. Raises ValueError with the reason, as `read_text` does."""
    for magic, kind in MAGIC.items():
        if data.startswith(magic):
            raise ValueError(f"it is {kind}")
    other = _other(data) if encoding is None else None
    if other:
        raise ValueError(_likely(data, other, fix))
    try:
        return data.decode(encoding or UTF8).removeprefix("\ufeff")
    except UnicodeError as problem:
        raise ValueError(_reason(data, problem, encoding, fix)) from None


def check_encoding(name: str) -> str:
    """`name`; ValueError if it is not a text encoding that Python supports."""
    try:
        "a".encode(name)
        if codecs.lookup(name).name in NOT_FOR_FILES:
            raise LookupError
    except (LookupError, UnicodeError, ValueError):
        raise ValueError("unknown text encoding; examples are cp1252, latin-1 and utf-16") from None
    return name


def _reason(data: bytes, problem: UnicodeError, encoding: str | None, fix: str) -> str:
    start = problem.start if isinstance(problem, UnicodeDecodeError) else 0
    line = data.count(b"\n", 0, start) + 1
    bad = f"line {line}: byte 0x{data[start]:02x} is not {encoding or 'UTF-8'}"
    if encoding is not None:
        return f"{bad}; correct the key encoding:"
    if b"\0" in data:
        return f"{bad}; it is a binary file"
    replaced = data.decode(UTF8, errors="replace")
    damaged = replaced.count("\ufffd")
    if sum(letter > "\x7f" for letter in replaced) > 2 * damaged:  # most of the text is UTF-8
        return f"{bad}, unlike the rest; correct that line"
    return f"{bad}; {_likely(data, _guess(data), fix)}"


def _likely(data: bytes, encoding: str, fix: str) -> str:
    text = data.decode(encoding, errors="replace").removeprefix("\ufeff")
    first = next((place for place, letter in enumerate(text) if letter > "\x7f"), 0)
    sample = text[max(0, first - SAMPLE // 2) : first + SAMPLE // 2]
    excerpt = " ".join("".join(letter if letter.isprintable() else " " for letter in sample).split())
    return f"it is likely {encoding} ('{excerpt}'); {fix.format(encoding=encoding)}"


def _other(data: bytes) -> str | None:
    """UTF-16 or UTF-32, by the byte order mark, or by a first line of ASCII with a zero next to each byte; or
    an encoding that switches between character sets by escape sequences.

    Such text without a mark is valid UTF-8 that is full of NUL characters or escapes.
    """
    for mark, name in MARKS.items():
        if data.startswith(mark):
            return name
    for escape, name in ESCAPES.items():
        if escape in data and _decoded(data, name) is not None:
            return name
    for name, end in (("utf-16-le", b"\n\0"), ("utf-16-be", b"\0\n")):
        line, newline, _ = data.partition(end)
        zeros, letters = (line[1::2], line[::2]) if name == "utf-16-le" else (line[::2], line[1::2])
        if newline and len(line) >= 4 and len(line) % 2 == 0 and not any(zeros) and all(letters):
            return name
    return None


def _guess(data: bytes) -> str:
    """The likely encoding of text that is not UTF-8."""
    import chardet

    telling = b"\n".join(line for line in data.split(b"\n") if not line.isascii())[:GUESSED]
    guess = str(chardet.detect(telling)["encoding"] or "cp1252").lower().replace("windows-", "cp")
    western = "cp1252" if any(0x80 <= byte < 0xA0 for byte in telling) else "latin-1"
    # Western letters are ambiguous: of encodings with the same result choose the most common one.
    same = _decoded(data, guess) in (None, _decoded(data, western))
    names = (western, guess, "latin-1") if same else (guess, western, "latin-1")
    return next(name for name in names if _decoded(data, name) is not None)


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError):
        return None
