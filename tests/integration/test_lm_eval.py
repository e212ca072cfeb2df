"""Our `harness` wording and its numbers against lm_eval's own stock tasks, on the seven real data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval
import pytest
import torch
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint, evaluate
from tailored_llama.data import load_task
from tailored_llama.scoring import encode_pair, score
from tests.support.pico import worded
from tests.support.tasks import TASKS

STOCK = Path(lm_eval.__file__).parent / "tasks"
FILES = {
    "boolq": "super_glue/boolq/default", "piqa": "piqa/piqa", "hellaswag": "hellaswag/hellaswag",
    "winogrande": "winogrande/default", "arc_easy": "arc/arc_easy", "arc_challenge": "arc/arc_challenge",
    "openbookqa": "openbookqa/openbookqa",
}  # fmt: skip
LIMIT = 50

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]


def stock_task(name: str, shared: Path, cache: Path) -> ConfigurableTask:
    """lm_eval's own task file, but for where the rows are."""
    files = {path.stem: str(path) for path in (shared / "data" / name).glob("*.jsonl")}
    source = {
        "dataset_path": "json", "dataset_name": None,
        "dataset_kwargs": {"data_files": files, "cache_dir": str(cache)},
    }  # fmt: skip
    return ConfigurableTask(config=load_yaml(STOCK / f"{FILES[name]}.yaml") | source)


@pytest.fixture(scope="module")
def stock(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ConfigurableTask]:
    cache = tmp_path_factory.mktemp("cache")
    return {name: stock_task(name, shared, cache) for name in TASKS}


@pytest.fixture(scope="module")
def stories(shared: Path) -> Loaded:
    directory = shared / "models" / "stories260K"
    return checkpoint.load_model(directory), checkpoint.load_tokenizer(directory)


@pytest.mark.parametrize("name", TASKS)
def test_every_row_is_rendered_byte_for_byte(
    name: str, stock: dict[str, ConfigurableTask], shared: Path
) -> None:
    task, theirs = load_task(name), stock[name]
    gold = theirs.doc_to_text if theirs.multiple_input else theirs.doc_to_target
    splits = {"validation": theirs.validation_docs(), "test": theirs.test_docs()}
    assert splits[task.scored] is not None
    for split, documents in splits.items():
        if documents is None:
            continue
        examples = task.examples("harness", task.rows(split, shared / "data" / name))
        assert len(examples) == len(documents) >= 200
        for example, document in zip(examples, documents, strict=True):
            requests = theirs.construct_requests(document, theirs.fewshot_context(document, 0))
            ours = list(zip(example.contexts, example.answers, strict=True))
            assert ours == [request.args for request in requests]
            assert example.gold == int(gold(document))


def their_figures(loaded: Loaded, task: ConfigurableTask) -> dict[str, Any]:
    model, tokenizer = loaded
    lm = HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=16)
    task.set_config("num_fewshot", 0)
    results = lm_eval.evaluator.evaluate(lm, {"tasks": {task.task_name: task}}, limit=LIMIT)
    figures: dict[str, Any] = results["results"][task.task_name]
    return figures


def compare(loaded: Loaded, stock: dict[str, ConfigurableTask], shared: Path) -> dict[str, Any]:
    model, tokenizer = loaded
    data = {name: shared / "data" / name for name in TASKS}
    ours = evaluate(model, tokenizer=tokenizer, tasks=TASKS, data=data, limit=LIMIT)["tasks"]
    for name in TASKS:
        theirs = their_figures(loaded, stock[name])
        assert ours[name]["acc"] == theirs["acc,none"], name
        assert ours[name]["acc_norm"] == theirs.get("acc_norm,none", ours[name]["acc_norm"]), name
        metric = load_task(name).metric
        assert ours[name]["main"] == theirs[f"{metric},none"], name
        assert ours[name]["stderr"] == pytest.approx(theirs[f"{metric}_stderr,none"]), name
    return ours


def test_a_really_trained_model_scores_as_in_lm_eval(
    stories: Loaded, stock: dict[str, ConfigurableTask], shared: Path
) -> None:
    ours = compare(stories, stock, shared)
    # BoolQ's passages do not all fit into 512 tokens of a vocabulary of 512.
    assert 0 < ours["boolq"]["cut"] < LIMIT


def test_a_random_model_scores_as_in_lm_eval(
    stories: Loaded, stock: dict[str, ConfigurableTask], shared: Path
) -> None:
    compare((worded(context=384, vocabulary=512), stories[1]), stock, shared)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("prompt", ["harness", "choices"])
def test_the_scorer_is_hflm(name: str, prompt: str, stories: Loaded, shared: Path) -> None:
    model, tokenizer = stories
    task = load_task(name)
    examples = task.examples(prompt, task.rows("scored", shared / "data" / name)[:30])
    theirs = hflm(stories, [pair for e in examples for pair in zip(e.contexts, e.answers, strict=True)])
    ours = [value for question in score(model, tokenizer, examples) for value in question.loglikelihoods]
    # HFLM adds up in fp32: an answer of a thousand nats is known to one unit in the last place, 1.2e-4.
    assert ours == pytest.approx(theirs, abs=1e-4, rel=1.2e-7)


def hflm(loaded: Loaded, pairs: list[tuple[str, str]]) -> list[float]:
    from lm_eval.api.instance import Instance

    lm = HFLM(pretrained=loaded[0], tokenizer=loaded[1], device="cpu", batch_size=16)
    requests = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    return [value for value, _ in lm.loglikelihood(requests, disable_tqdm=True)]


@pytest.mark.parametrize("where", ["tokenizers/llama", "models/stories260K"])
def test_pairs_are_tokenised_as_in_lm_eval(where: str, shared: Path) -> None:
    tokenizer = checkpoint.load_tokenizer(shared / where)
    lm = HFLM(pretrained=worded(), tokenizer=tokenizer, device="cpu")
    for name in TASKS:
        task = load_task(name)
        rows = task.rows("scored", shared / "data" / name)[:20]
        for prompt in task.prompts:
            for example in task.examples(prompt, rows):
                for pair in zip(example.contexts, example.answers, strict=True):
                    assert encode_pair(tokenizer, *pair) == lm._encode_pair(*pair)
    for pair in [("Answer: ", "yes"), ("An", "swer"), ("<s>Answer:", " yes"), ("a\n", "b"), ("1", "2 3")]:
        # The last ones merge across the boundary.
        assert encode_pair(tokenizer, *pair) == lm._encode_pair(*pair)
    with torch.inference_mode():
        assert lm.prefix_token_id == encode_pair(tokenizer, "", " yes")[0][0]
