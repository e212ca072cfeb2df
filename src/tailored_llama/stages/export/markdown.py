"""Escaping for Markdown: rows, names and settings are shown as text and never interpreted as markup."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

Table = Sequence[Sequence[object]]


def inline(value: object) -> str:
    """`value` on one line, with Markdown, HTML and table borders escaped."""
    text = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([\\`*\[\]|~])", r"\\\1", text)


def code(value: object) -> str:
    """`value` on one line, as a code span that backticks within it do not end."""
    text = " ".join(str(value).split())
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return f"{fence}{padding}{text or ' '}{padding}{fence}"


def block(text: str) -> str:
    """`text` with its line breaks, in `<pre>`: a row may contain code fences."""
    return f"<pre>\n{html.escape(text, quote=False)}</pre>"


def table(head: Sequence[object], body: Table) -> str:
    """A table; every cell is escaped."""
    lines = ["| " + " | ".join(inline(cell) for cell in line) + " |" for line in (head, *body)]
    return "\n".join([lines[0], "| " + " | ".join(["---"] * len(head)) + " |", *lines[1:]])
