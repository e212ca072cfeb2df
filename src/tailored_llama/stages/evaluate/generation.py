"""Generation tasks: the generated answers, compared with the references."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, stdev

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Example
from tailored_llama.results import Sample, TaskFigures
from tailored_llama.scoring import example_length, text_scores, write
from tailored_llama.stages.evaluate.questions import Questions

SAMPLES = 3
BETWEEN_SHOTS = "\n\n"  # lm_eval's


def score_written(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Questions,
    batch_size: int | None = None,
) -> tuple[TaskFigures, list[float]]:
    """The task's figures with the first answers as samples, and the main metric of each question in order.
    Chance is 0: random guessing does not generate correct text.

    Raises DataError if the model has no room to write.
    """
    task = questions.task
    examples = [_after(questions.shots, example) for example in questions.examples]
    answers = write(
        model, tokenizer, examples, task.generation, batch_size=batch_size,
        max_length=example_length(task, model, len(questions.shots)), description=questions.place,
    )  # fmt: skip
    scores = [text_scores(w.text, e.references) for w, e in zip(answers, examples, strict=True)]
    main = [score[task.metric] for score in scores]
    means = {str(metric): fmean(score[metric] for score in scores) for metric in scores[0]}
    samples = [
        Sample(context=e.context, written=w.text, right=e.references[0])
        for w, e in zip(answers[:SAMPLES], questions.examples, strict=False)
    ]
    return TaskFigures.model_validate(
        {
            **means, "main": fmean(main), "metric": task.metric,
            "stderr": stdev(main) / len(main) ** 0.5 if len(main) > 1 else None, "chance": 0.0,
            "n": len(main), "cut": sum(w.cut for w in answers),
            "unended": sum(not w.ended for w in answers), "prompt": questions.prompt.name,
            "samples": samples, **({"synthetic": True} if task.synthetic else {}),
        }
    ), main  # fmt: skip


def _after(shots: list[Example], example: Example) -> Example:
    """The example with the answered shots before its context."""
    prefix = "".join(shot.context + shot.answer + BETWEEN_SHOTS for shot in shots)
    return replace(example, contexts=(prefix + example.context,))
