"""How pages are rendered: one Jinja environment a package, over the files in its `templates/`."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tailored_llama.reporting import formatting, overview

FILTERS = (
    "percent", "bare", "points", "count", "size", "short", "wording", "cut_prompts", "picked", "between",
    "named", "unended",
)  # fmt: skip
"""Functions of `formatting` that templates use."""


@cache
def environment(package: str) -> Environment:
    """The templates of `package`; values are escaped, and one that is not given is an error."""
    made = Environment(
        loader=PackageLoader(package), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {name: getattr(formatting, name) for name in FILTERS} | {"label": overview.way_label}
    return made


def render(template: str, package: str = "tailored_llama.reporting", **content: Any) -> str:
    """The text of `templates/NAME.html.jinja` of a package, with this content."""
    return environment(package).get_template(f"{template}.html.jinja").render(**content)
