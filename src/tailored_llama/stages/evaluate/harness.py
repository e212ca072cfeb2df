"""Accuracy through lm_eval (Gao et al., the Language Model Evaluation Harness), with this package's rows and
wordings.

Every task becomes an inline lm_eval task with rendered documents, so nothing is loaded from the hub, and
lm_eval's own code creates the requests, scores and averages. `evaluator.evaluate` is called instead of
`simple_evaluate`, which would also reseed all generators of the process and spend seconds on a description of
the machine.
"""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from statistics import fmean, stdev
from typing import Any

import datasets
from lm_eval import evaluator
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama.data import Example, chance
from tailored_llama.data.tokens import check_ids
from tailored_llama.integrations.lm_eval.model import Tailor, Tokenised
from tailored_llama.results import TaskFigures
from tailored_llama.scoring import context_length, embedding_rows, encode_pair, example_length
from tailored_llama.scoring.calibration import batch_calibrated
from tailored_llama.scoring.choices import Scored
from tailored_llama.scoring.requests import check_answer
from tailored_llama.stages.evaluate.questions import Questions


class Model(Tailor):
    """lm_eval's model with this package's scorer, errors and progress, and a count of truncated prompts."""

    longest: int | None = None
    """Maximum number of tokens of a question with its answer, if it is less than the context."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int | None
    ) -> None:
        with _quiet():
            super().__init__(
                pretrained=model,
                # A copy, because HFLM adds a padding token to the tokenizer.
                tokenizer=copy.deepcopy(tokenizer),
                max_length=context_length(model),
                softmax_dtype="float32",
                device=str(model.device),
            )
        self.rows_per_batch = batch_size
        self.cut: set[int] = set()
        self.documents: list[int] = []

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Record the document of each request, for counts and messages."""
        self.documents = [request.doc_id for request in requests]
        self.cut = set()
        # Encoded by the same function as in tuning and ranking, so that training and scoring use the same
        # tokens.
        pairs = [(request.args, *encode_pair(self._encoder, *request.args)) for request in requests]
        return self._loglikelihood_tokens(pairs)

    @property
    def max_length(self) -> int:
        """HFLM's limit, or `longest`."""
        context = int(super().max_length)
        return min(context, self.longest or context)

    def name_of(self, index: int) -> str:
        """The row of a request."""
        return f"row {self.documents[index] + 1}"

    def _loglikelihood_tokens(
        self, requests: list[Tokenised], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        for document, (_, context, answer) in zip(self.documents, requests, strict=True):
            place = f"{self.title}, row {document + 1}"
            check_answer(answer, self.max_length, f"{place}: an answer")
            if len(context) + len(answer) > self.max_length + 1:
                self.cut.add(document)
            ids = (context + answer)[-(self.max_length + 1) :]
            check_ids(ids, embedding_rows(self.model), self.tokenizer, place)
        return super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)


def score_task(
    lm: Model, questions: Questions, *, calibrate: bool = False
) -> tuple[TaskFigures, list[float]]:
    """The task's figures, and the score of each question in order by the main metric.

    With `calibrate` and questions that all have the same answers, the main metric is that after
    `batch_calibrated`.

    Raises DataError for an answer that does not fit into the model, CheckpointError for a token outside the
    model's vocabulary.
    """
    task = questions.task
    lm.title = questions.place
    lm.longest = example_length(task, lm.model, len(questions.shots))
    with _quiet():
        inline = _Task(config=_inline(questions))
        results = evaluator.evaluate(lm, {"tasks": {task.name: inline}}, log_samples=True)
    figures = results["results"][task.name]
    samples = sorted(results["samples"][task.name], key=lambda sample: sample["doc_id"])
    # If contexts are compared, all answers are equal, so normalisation by length has no effect.
    accuracy = {metric: figures.get(f"{metric},none", figures["acc,none"]) for metric in ("acc", "acc_norm")}
    stderr = figures.get(f"{task.metric}_stderr,none", figures["acc_stderr,none"])
    found = TaskFigures(
        **accuracy, main=accuracy[task.metric], metric=task.metric,
        stderr=stderr if isinstance(stderr, float) else None, chance=chance(questions.examples),
        n=len(questions.examples), cut=len(lm.cut), prompt=questions.prompt.name,
        **({"synthetic": True} if task.synthetic else {}),
    )  # fmt: skip
    right = [float(sample.get(task.metric, sample["acc"])) for sample in samples]
    if not calibrate or questions.labels is None:
        return found, right
    right = _calibrated([sample["filtered_resps"] for sample in samples], questions)
    changes = {
        "main": fmean(right), "stderr": stdev(right) / len(right) ** 0.5, "uncalibrated": found.main,
    }  # fmt: skip
    return found.model_copy(update=changes), right


def _calibrated(responses: list[list[tuple[float, bool]]], questions: Questions) -> list[float]:
    """The score of each question by the main metric after calibration."""
    scored = [
        Scored(tuple(float(value) for value, _ in choices), example.lengths, example.gold, cut=False)
        for choices, example in zip(responses, questions.examples, strict=True)
    ]
    return [float(one.correct(questions.task.metric)) for one in batch_calibrated(scored)]


class _Task(ConfigurableTask):  # type: ignore[misc]
    """lm_eval's task without its bar over the requests, which no argument turns off."""

    def build_all_requests(self, **settings: Any) -> None:
        with redirect_stderr(io.StringIO()):
            super().build_all_requests(**settings)


def _inline(questions: Questions) -> dict[str, Any]:
    """An lm_eval task that reads the examples' fields; in partial evaluation its text is the gold index."""
    prompt = questions.prompt
    documents = datasets.Dataset.from_list([_document(example) for example in questions.examples])
    metrics = ["acc"] if prompt.partial else ["acc", "acc_norm"]
    return {
        "task": questions.task.name,
        "custom_dataset": lambda **_: {"scored": documents},
        "test_split": "scored",
        "output_type": "multiple_choice",
        "target_delimiter": prompt.delimiter,
        "doc_to_text": "gold" if prompt.partial else "context",
        "doc_to_choice": "contexts" if prompt.partial else "answers",
        "doc_to_target": "answer" if prompt.partial else "gold",
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in metrics],
        "num_fewshot": len(questions.shots),
        "fewshot_config": {"sampler": "first_n", "samples": [_document(shot) for shot in questions.shots]},
    }


def _document(example: Example) -> dict[str, Any]:
    answers = [answer.removeprefix(example.delimiter) for answer in example.answers]
    return {
        "context": example.context,
        "contexts": list(example.contexts),
        "answer": answers[example.gold],
        "answers": answers,
        "gold": example.gold,
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside the block, silence lm_eval's and transformers' messages on every task and truncation;
    truncations are counted, and progress is shown by this package.
    """
    loggers = [logging.getLogger(name) for name in ("lm_eval", "transformers.tokenization_utils_base")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
