"""Templates of strangers: those that would take all there is are one line; the others do what they did."""

from __future__ import annotations

import datetime
import resource
import time
from typing import Any

import pytest

from tailored_llama.data import limits
from tailored_llama.data.templates import RowError, compile_expression, compile_text, names_in

ROW: dict[str, Any] = {
    "text": "some text, a b", "n": 5, "options": ["sad", "happy"], "d": {"k": [1, 2]}, "big": "ab " * 300_000,
    "when": datetime.datetime(2024, 5, 6), "a40": "a" * 40 + "b",
}  # fmt: skip
DOUBLED = (
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = START %}{% endfor %}{{ ns.x }}"
)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'x' * 10**9 }}", "{{ 10**9 * 'x' }}", "{{ [1] * 10**9 }}", "{{ (10**9) ** (10**9) }}",
        "{{ range(10**9) | list }}", "{{ range(10**400) }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}xxxx{% endfor %}{% endfor %}",
        "{% for i in range(999) %}" * 9 + "{% endfor %}" * 9,
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(50) }}",
        "{{ '%1000000000d' % 1 }}", "{{ '%*d' % (10**9, 1) }}", "{{ '%.1000000000f' % 1 }}",
        "{{ '%(a)1000000000d' | format(a=1) }}", "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{w}}'.format(1, w=10**9) }}", "{{ '{0:>{1}}'.format(1, 10**9) }}",
        "{{ text | center(10**9) }}", "{{ text | center(width=10**9) }}", "{{ text.center(10**9) }}",
        "{{ text.ljust(10**9) }}", "{{ text.zfill(10**9) }}", "{{ text.expandtabs(10**9) }}",
        "{{ text | indent(10**9, true) }}", "{{ options | batch(10**9, 'x') | list }}",
        "{{ options | batch(linecount=10**9, fill_with='x') | list }}", "{{ options | slice(10**9) | list }}",
        "{{ 1 | round(10**9, 'ceil') }}", "{{ options | tojson(indent=10**9) }}", "{{ lipsum(n=10**6) }}",
        "{{ big | replace('a', big) }}", "{{ big.replace('a', big) }}", "{{ big | replace('', big) }}",
        "{{ big | join(big) }}", "{{ big.join(options * 100) }}",
        "{{ range(9999) | map('string') | join(big) }}",
        "{{ big | list | join(big) }}", "{{ big | map('replace', 'a', big) | list }}",
        "{{ range(99999) | map('center', 10**6) | list }}", "{{ big | regex_replace('.', big) }}",
        "{{ big | regex_replace('(.)', '\\\\1' * 900) }}", "{{ a40 | regex_replace('(a|aa)+$', '') }}",
        "{{ a40 | regex_replace('(a|a)*$', '') }}", "{{ text | regex_replace('x' * 2000, '') }}",
        "{{ range(99999) | select('in', range(99999) | list) | list }}",
        "{% set a = big ~ big %}{% set a = a ~ a %}{% set a = a ~ a %}{% set a = a ~ a %}{{ a }}",
        "{% set x %}{{ big }}{{ big }}{{ big }}{% endset %}{{ x }}{{ x }}",
        DOUBLED.replace("START", "ns.x + ns.x"), DOUBLED.replace("START", "ns.x ~ ns.x"),
        DOUBLED.replace("START", "[ns.x, ns.x]"), DOUBLED.replace("START", "(ns.x, ns.x)"),
        DOUBLED.replace("START", "{'a': ns.x, 'b': ns.x}"), DOUBLED.replace("START", "dict(a=ns.x, b=ns.x)"),
        DOUBLED.replace("START", "ns.x * 2"), DOUBLED.replace("[1]", "2").replace("START", "ns.x * ns.x"),
        "{{ when.strftime('%1000000000Y') }}", "{{ dict.fromkeys(options) }}",
        "{{ text.maketrans('a', 'b') }}", "{{ text.encode('utf-16') }}", "{{ options.append(1) }}",
        "{{ text.__class__.__mro__ }}",
        "{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ text[10**9] }}", "{{ text(1) }}",
        "{{ text.upper(1) }}", "{% include 'x' %}", "{% import 'x' as y %}",
        "{% if n %}{{ n | nosuch }}{% endif %}",
        "{{ text | regex_replace('(', '') }}", "{{ text | wordwrap(0) }}", "{{ 0 | slice(0) | list }}",
    ],
)  # fmt: skip
def test_a_template_that_asks_for_too_much_is_one_line_at_once(
    template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.05)
    monkeypatch.setattr(limits, "MOST", 1_000_000)
    names_in(template, expression=False)
    start = time.process_time()
    with pytest.raises(RowError) as caught:
        compile_text(template)(ROW)
    assert time.process_time() - start < 2
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 2**20, "kilobytes"


def test_the_limits_are_seconds() -> None:
    start = time.process_time()
    with pytest.raises(RowError, match="more than 1 s"):
        compile_text("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")(ROW)
    with pytest.raises(RowError, match="more than 5,000,000 characters"):
        compile_text("{{ 'x' * 5000000 }}")(ROW)
    assert compile_text("{{ big * 2 }}")(ROW) == ROW["big"] * 2
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ text | upper | replace('A', 'b') | trim }}", "SOME TEXT, b B"),
        ("{{ '%s and %05.2f' % (text[:4], 3.14159) }}", "some and 03.14"),
        ("{{ '%s' | format(n) }}{{ 'In 2024: {} {x}'.format(n, x=1) }}", "5In 2024: 5 1"),
        ("{{ options | map('upper') | join(', ') }}", "SAD, HAPPY"),
        ("{{ d | tojson }}{{ d.k | sum }}{{ d.get('z', 3) }}", '{"k": [1, 2]}33'),
        ("{{ options[::-1] }}{{ options.index('happy') }}", '["happy", "sad"]1'),
        ("{% for o in options %}{{ loop.index }}{{ loop.cycle('a', 'b') }} {% endfor %}", "1a 2b "),
        ("{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}", "k=[1, 2]"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(1) }}{{ m(text[:4]) }}", "<1><some>"),
        ("{% set s = namespace(c=0) %}{% for o in d.k %}{% set s.c = s.c + 1 %}{% endfor %}{{ s.c }}", "2"),
        ("{% set x, y = options %}{{ y }}{% set j = joiner(', ') %}{{ j() }}{{ j() }}", "happy, "),
        ("{{ text.split(',')[0].strip().capitalize() }}{{ text.zfill(3)[:2] }}", "Some textso"),
        ("{{ when.strftime('%d %B %Y') }}{{ when.replace(year=2020).year }}", "06 May 20242020"),
        ("{{ text | regex_replace('(\\\\w+) (\\\\w+)', '\\\\2 \\\\1') }}", "text some, b a"),
        ("{{ big | length }}{{ n is odd }}{{ 2**64 }}", "900000True18446744073709551616"),
        ("{% filter upper %}a{{ n }}{% endfilter %}{{ text | wordwrap(5) }}", "A5some\ntext,\na b"),
    ],
)  # fmt: skip
def test_what_templates_do_otherwise_they_still_do(template: str, text: str) -> None:
    assert compile_text(template)(ROW) == text
    assert compile_text(template)(ROW) == text, "every rendering has a budget of its own"


def test_an_expression_gives_its_own_value() -> None:
    assert compile_expression("options + ['x']")(ROW) == ["sad", "happy", "x"]
    assert compile_expression("(options, n)")(ROW) == (["sad", "happy"], 5)
    with pytest.raises(RowError):
        compile_expression("'x' * 10**10")(ROW)
