"""Tasks whose answers are written: what the model writes, beside what is right."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Example
from tailored_llama.scoring import example_length, text_scores, write
from tailored_llama.stages.evaluate.questions import Questions

SAMPLES = 3
BETWEEN_SHOTS = "\n\n"  # lm_eval's


def score_written(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Questions,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """`exact_match`, `f1`, `rougeL` and `exact`, `main` (the task's metric) and its `stderr`, `chance` (0:
    nothing is guessed right), `n` questions, of which `cut` had to lose the beginning of their context
    and `unended` ran to the last token allowed; the `prompt`; the first answers as `samples`; and how
    `right` each was by the main metric.

    Raises DataError where the model has no room to write.
    """
    task = questions.task
    examples = [_after(questions.shots, example) for example in questions.examples]
    written = write(
        model, tokenizer, examples, task.generation, batch_size=batch_size,
        max_length=example_length(task, model, len(questions.shots)), description=questions.place,
    )  # fmt: skip
    scores = [text_scores(w.text, e.references) for w, e in zip(written, examples, strict=True)]
    main = [score[task.metric] for score in scores]
    return {
        **{metric: fmean(score[metric] for score in scores) for metric in scores[0]},
        "main": fmean(main),
        "metric": task.metric,
        "stderr": stdev(main) / len(main) ** 0.5 if len(main) > 1 else None,
        "chance": 0.0,
        "n": len(main),
        "cut": sum(w.cut for w in written),
        "unended": sum(not w.ended for w in written),
        "prompt": questions.prompt.name,
        "right": main,
        "samples": [
            {"context": e.context, "written": w.text, "right": e.references[0]}
            for w, e in zip(written[:SAMPLES], questions.examples, strict=False)
        ],
    }


def _after(shots: list[Example], example: Example) -> Example:
    """The example with the shots, answered, before its context."""
    before = "".join(shot.context + shot.answer + BETWEEN_SHOTS for shot in shots)
    return replace(example, contexts=(before + example.context,))
