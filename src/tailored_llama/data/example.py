"""An example: one question as a model sees it, in one prompt's wording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Example:
    """One question, rendered. Choice i is scored as log P(answers[i] | contexts[i]).

    `contexts` are all equal, except in partial evaluation (WinoGrande in lm_eval's wording), where they
    differ and the answers are equal. An answer starts with its `delimiter`.

    A question of a generation task has one context, one answer (the training target) and `references`: the
    texts that count as correct.
    """

    contexts: tuple[str, ...]
    answers: tuple[str, ...]
    gold: int
    row: int
    delimiter: str = " "
    references: tuple[str, ...] = ()
    place: str = field(default="", compare=False)
    """File and row (from 1), for messages."""

    @property
    def context(self) -> str:
        """The context of the correct choice: the input of tuning."""
        return self.contexts[self.gold]

    @property
    def answer(self) -> str:
        """The answer of the correct choice: the target of tuning."""
        return self.answers[self.gold]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Characters of each answer without its delimiter, by which acc_norm divides (as lm_eval)."""
        return tuple(len(answer) - len(self.delimiter) for answer in self.answers)


def chance(examples: Sequence[Example]) -> float:
    """Expected accuracy of random guessing: the mean over questions of 1 / number of choices; 0 for questions
    of a generation task.
    """
    expected = [0.0 if example.references else 1 / len(example.answers) for example in examples]
    return sum(expected) / len(expected)
