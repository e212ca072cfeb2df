"""Values that strangers' files hold by mistake, by malice or by another program: as YAML, JSON and Jinja."""

from __future__ import annotations

import json
import random
from typing import Any

BOMB = (
    "[&a [x, x, x, x, x, x, x, x], "
    + ", ".join(
        f"&{new} [{', '.join([f'*{old}'] * 8)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]"
)
LONG = "x" * 5000
YAML: tuple[str, ...] = (
    ".inf", "-.inf", ".nan", "1e400", "1e20", "-1", "-0.0", "0", "1e-400", "0.5", "3",
    "18446744073709551616", "9" * 5000, "0x10", "0o17", "1_000", "1:2:3", "0.1.2", "2001-99-99",
    "2001-01-01", "yes", "true", "null", "~", "''", "' '", '"\\0"', '"a\\nb"', '"\\ud800"', "é", "x" * 300,
    LONG, "../..", "/", ".", "..", "~nosuch/x", "~/x", "/dev/null", "/dev/zero", "nul", "a/b", "{}", "[]",
    "[[]]", "[null]", "[1, 2]", "[2, 1]", "[a, a]", "{a: 1}", "{a: 1, a: 2}", "{[1]: 2}", "{1: 2}",
    "{null: 1}", "&a [*a]", "*undefined", BOMB, "[" * 3000 + "]" * 3000, "{a: " * 300 + "1" + "}" * 300,
    "!!int abc", "!!float x", "!!binary '%%'", "!!binary aGVsbG8=", "!!set {a, b}",
    "!!timestamp 2001-99-99", "!!omap [a: 1]", "!!python/name:os.system ''", "!unknown x", "<<: 1", "@",
    "`x`", "'", "[", "}", "%YAML 3.0", "\t- x", "? x", "- x", "!!str", "!!null ''",
)  # fmt: skip
"""YAML texts, on one line each, so that they fit into a flow mapping or an option."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 2**31, 2**63, 2**64, -(2**31), 10**400, 0.0, -0.5, 0.5, 1.5,
    1e-30, 1e30, 1e308, float("nan"), float("inf"), float("-inf"), "", " ", "x", "0", "16", "NaN", "silu",
    "bfloat16", "../../x", "/etc/passwd", "x" * 300, LONG, "a\nb", "a\x00b", "\ud800", "é", [], [0], [1, 2],
    [[]], [None], ["x"] * 1000, {}, {"a": 1}, {"": None}, {"rope_type": "linear", "factor": 0},
    {"rope_type": "nosuch"}, {"rope_theta": 0, "rope_type": "default"}, {"rope_type": "llama3"},
)  # fmt: skip
"""What a JSON file may hold where something else is meant."""

TEMPLATES: tuple[str, ...] = (
    "{{ 'x' * 10**9 }}", "{{ text * 10**8 }}", "{{ 10**10**10 }}", "{{ 9**9**9 }}",
    "{{ '%999999999d' % 1 }}", "{% for i in range(10**9) %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
    "{{ range(10**9) | list }}", "{{ lipsum(10**5) }}", "{{ lipsum() }}", "{{ 'a'.center(10**10) }}",
    "{{ 'a'.ljust(10**9) }}", "{{ 'a'.zfill(10**9) }}", "{{ text | center(10**9) }}",
    "{{ text | indent(10**9) }}", "{{ ''.__class__.__mro__ }}", "{{ text.format_map }}",
    "{{ '{0.__class__}'.format(text) }}", "{{ self }}",
    "{{ ('a' * 40 + 'b') | regex_replace('(a+)+$', '') }}", "{{ text | regex_replace('(', '') }}",
    "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{{ 1 / 0 }}", "{{ 1 // 0 }}",
    "{{ 1 % 0 }}", "{{ nothing }}", "{{ nothing.more }}", "{{ text.nothing }}", "{{ text[10**9] }}",
    "{{ text['x'] }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% for c in [[1]] recursive %}{{ loop(loop) }}{% endfor %}", "{{", "}}", "{% if %}", "{% for %}",
    "{{ text | nosuch }}", "{{ text is nosuch }}", "{{ " + "(" * 3000 + ")" * 3000 + " }}",
    "{{ " + "-" * 5000 + "1 }}", "{{ text | wordwrap(0) }}", "{{ text | batch(0) | list }}",
    "{{ text | slice(0) | list }}", "{{ text | truncate(-5) }}", "{{ [1] | sum('a') }}", "{{ text | int }}",
    "{{ text | float }}", "{{ text | tojson }}", "{{ [] | first }}", "{{ [] | max }}",
    "{{ {} | dictsort('x') }}", "{{ text | random }}", "{{ [1, 2, 3] | random }}", "{{ namespace(a=1) }}",
    "{{ cycler() }}", "{{ joiner() }}", "{% set text = 1 %}{{ text }}", "{# comment", "", " ",
    "{% raw %}{{ text }}", "{{ text }}\x00", "{{ text ~ '\ud800' }}", "{{ text }}" * 2000, "{% break %}",
    "{% do 1 %}", "{{ caller() }}", "{{ loop }}", "{{ varargs }}", "{{ text(1) }}", "{{ text.upper(1) }}",
    "{{ letters[99] }}", "{{ 'é' * 100 }}", "{{ text.encode('utf-16') }}", "{{ dict(text) }}",
    "{{ options }}", "{{ gold }}",
)  # fmt: skip
"""Templates of a stranger, from typing errors to attacks."""

TEXTS: tuple[str, ...] = (
    '{"name": "Anna", "adult": false, "job": null}', "[1, 2.50]", "[]", "{}", "007", "1e5", "1.0", "NaN",
    "nan", "null", "None", "true", "inf", "-0", " leading", "trailing ", "a,b", 'say "so"', "it's",
    "two\nlines", "tab\there", "semi;colon", "back\\slash", "\\n", "é ü ñ", "日本語", "हिन्दी", "👍🏽",
    "a\u0301", "\u00a0", "\u2028", "#", "=1+1", "{{ text }}", "{% x %}", "<b>", "&amp;", "```", "|",
    "x" * 2000, "0x1F", "2001-01-01", "1,5", "1_000", "%s", "$HOME", "~",
)  # fmt: skip
"""Texts that a reader may take for something else."""


def text_of(value: Any) -> str:
    """`value` as JSON, as other programs write it: with NaN, and with what UTF-8 cannot say as escapes."""
    return json.dumps(value)


def spoil(document: Any, dice: random.Random, values: tuple[Any, ...] = VALUES) -> str:
    """Change one place of a JSON document in place: set, remove, add or rename; returns what was done."""
    place, way = document, "$"
    while True:
        keys: list[Any] = [*place] if isinstance(place, dict) else [*range(len(place))]
        if not keys:
            return f"{way}: left"
        key = dice.choice(keys)
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or dice.random() < 0.3:
            break
        place, way = inner, f"{way}.{key}"
    value, how = dice.choice(values), dice.choice(("set", "set", "set", "remove", "add", "rename"))
    if how == "remove":
        del place[key]
    elif how == "set" or isinstance(place, list):
        place[key] = value
    elif how == "add":
        place[f"{key}_x"] = value
    else:
        place[f"{key}_x"] = place.pop(key)
    return f"{how} {way}.{key} {str(value)[:60]!r}"


def damage(data: bytes, dice: random.Random) -> tuple[bytes, str]:
    """A file's bytes changed as a bad copy or another program changes them, and how."""
    at = dice.randrange(len(data) + 1)
    ways: dict[str, bytes] = {
        "cut": data[:at],
        "empty": b"",
        "bit": bytes(b ^ 4 if i == at else b for i, b in enumerate(data)) if len(data) < 10_000 else data[:at]
        + bytes([data[at] ^ 4 if at < len(data) else 4]) + data[at + 1 :],
        "zeros": bytes(len(data)),
        "BOM": b"\xef\xbb\xbf" + data,
        "UTF-16": data.decode("latin-1").encode("utf-16"),
        "no UTF-8": data[:at] + b"\xe9\xff" + data[at:],
        "NUL": data[:at] + b"\x00" + data[at:],
        "nested": b"[" * 100_000 + b"]" * 100_000,
        "a list": b"[" + data + b"]",
        "twice": data * 2,
        "CR": data.replace(b"\n", b"\r"),
        "huge number": b'{"a": ' + b"9" * 6000 + b"}",
        "HTML": b"<!DOCTYPE html><html><title>Entry not found</title></html>",
        "LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1234\n",
    }  # fmt: skip
    how = dice.choice([*ways])
    return ways[how], how
