"""Text from outside in a Markdown file: a row, a name or a setting never becomes markup."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

Table = Sequence[Sequence[object]]


def inline(value: object) -> str:
    """`value` on one line, in which no character is markup, HTML or the border of a table's cell."""
    text = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([\\`*\[\]|~])", r"\\\1", text)


def code(value: object) -> str:
    """`value` on one line, as a code span that no backtick of its own ends."""
    text = " ".join(str(value).split())
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return f"{fence}{padding}{text or ' '}{padding}{fence}"


def block(text: str) -> str:
    """`text` with its line breaks. Not between fences, which a row may have as well."""
    return f"<pre>\n{html.escape(text, quote=False)}</pre>"


def table(head: Sequence[object], body: Table) -> str:
    """A table; every cell is taken as text."""
    lines = ["| " + " | ".join(inline(cell) for cell in line) + " |" for line in (head, *body)]
    return "\n".join([lines[0], "| " + " | ".join(["---"] * len(head)) + " |", *lines[1:]])
