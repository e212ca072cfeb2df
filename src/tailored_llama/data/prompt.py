"""One wording of a task, and how a written answer ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import Field

from tailored_llama.data.templates import Compiled, compile_expression, compile_text, texts
from tailored_llama.recipe import MOST_TOKENS, Strict
from tailored_llama.strict_json import Json


class Generation(Strict):
    """How an answer of a generation task is generated: greedily, until one of these limits is reached."""

    max_new_tokens: int = Field(32, ge=1, le=MOST_TOKENS)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ("\n",)
    """Texts that end an answer, in addition to the end-of-sequence token; not included in the answer."""


WRITTEN = Generation()


@dataclass(frozen=True)
class Prompt:
    """One wording: a `context` shared by all `answers`, or `contexts` that share one `answer`.

    `context` and `answer` are templates, `contexts` and `answers` expressions that give a list.
    """

    name: str
    context: str | None = None
    answers: str = "options"
    contexts: str | None = None
    answer: str | None = None
    delimiter: str = " "

    @property
    def partial(self) -> bool:
        """Whether the contexts are compared, not the answers."""
        return self.contexts is not None

    def sources(self) -> list[tuple[str, bool]]:
        """(template, whether it is an expression) for the templates that this prompt uses."""
        if self.contexts is not None:
            return [(self.contexts, True), (self.answer or "", False)]
        return [(self.context or "", False), (self.answers, True)]

    @cached_property
    def compiled(self) -> tuple[Compiled, Compiled]:
        """Functions for the context(s) and the answer(s)."""
        first, second = (compile_expression(s) if e else compile_text(s) for s, e in self.sources())
        return first, second

    def fill(self, values: Mapping[str, Json]) -> tuple[list[str], list[str]]:
        """(contexts, answers without delimiter), two lists of equal length. Raises RowError."""
        first, second = (function(values) for function in self.compiled)
        if self.contexts is not None:
            return texts(first), [second] * len(first)
        return [first] * len(second), texts(second)
