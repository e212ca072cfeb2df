"""Words that the project's texts and names do not use: errors, help, docstrings, comments,
identifiers, docs.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BANNED = (
    "mend", "mends", "mended", "asked", "told", "said", "whoever", "quarrel", "whence", "thereof", "dwell",
    "dwells", "lodger", "wherein", "nobody", "somebody", "by the user's hand", "goes astray",
)  # fmt: skip
"""None has a technical use. `mending` and `telling` are in texts of the world; `tell` is one of its tasks."""
WORDS = re.compile(r"(?<![A-Za-z])(?:" + "|".join(map(re.escape, BANNED)) + r")(?![A-Za-z])", re.IGNORECASE)
PATTERNS = ("src/**/*.py", "src/**/*.jinja", "docs/**/*.md", "*.md")
EXEMPT = re.compile(
    r"docs/lab/|CHANGELOG|docs/start/your-own-task"  # notebooks, history, and a prompt that is called `asked`
    r"|results/tuning\.py|stages/tune/wording\.py"  # the key `asked` of shots.json
)


def texts() -> list[Path]:
    paths = {path for pattern in PATTERNS for path in ROOT.glob(pattern)}
    return sorted(path for path in paths if not EXEMPT.search(path.relative_to(ROOT).as_posix()))


def test_no_text_or_name_has_a_banned_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for match in WORDS.finditer(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("line", ["def _asked(x):", "# Mend it.", "`told` is a name"])
def test_banned_words_are_found_in_names_and_prose(line: str) -> None:
    assert WORDS.search(line)


def test_parts_of_other_words_are_not() -> None:
    assert not WORDS.search("masked amended retold recommended unsaid")
