"""The model `tailor` of lm_eval against HFLM: the same requests, log-likelihoods and accuracies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.registry import get_model
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint, prune
from tailored_llama.data import load_task
from tailored_llama.integrations.lm_eval.model import Tailor
from tailored_llama.stages.evaluate.harness import Model, score_task
from tailored_llama.stages.evaluate.questions import Questions
from tests.support.tasks import TASKS

LIMIT = 6
Loaded = dict[str, tuple[PreTrainedModel, PreTrainedTokenizerBase]]


@pytest.fixture(scope="module")
def stories(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """A really trained model, whole, and cut so that its layers differ in width."""
    directory = shared / "models" / "stories260K"
    cut = prune(
        directory, ratio=0.3, of="units", allocate="global", criterion="l1",
        out=tmp_path_factory.mktemp("cut") / "cut",
    )  # fmt: skip
    tokenizer = checkpoint.load_tokenizer(directory)
    models = {name: checkpoint.load_model(path) for name, path in (("plain", directory), ("shaped", cut))}
    assert models["shaped"].config.model_type == "shaped_llama"
    # Five shots do not fit into 512 tokens of this small vocabulary: the whole model reads what is cut, the
    # other one, beyond what it was trained on, all of it.
    models["shaped"].config.max_position_embeddings = 4096
    return {name: (model, tokenizer) for name, model in models.items()}


@pytest.fixture(scope="module")
def data(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first rows of every split: drawing shots from all of them takes longer than scoring."""
    folder = tmp_path_factory.mktemp("data")
    for file in (path for name in TASKS for path in (shared / "data" / name).glob("*.jsonl")):
        (folder / file.parent.name).mkdir(exist_ok=True)
        lines = file.read_text().splitlines()[:60]
        (folder / file.parent.name / file.name).write_text("\n".join(lines))
    return folder


class Theirs(Model):
    """What evaluate did without our scorer: HFLM alone."""

    def _loglikelihood_tokens(self, requests: list[Any], *_: Any, **__: Any) -> list[tuple[float, bool]]:
        self.seen = HFLM._loglikelihood_tokens(self, requests, disable_tqdm=True)
        return self.seen


class Ours(Model):
    """Ours, remembering what it said."""

    def _loglikelihood_tokens(self, requests: list[Any], *_: Any, **__: Any) -> list[tuple[float, bool]]:
        self.seen = super()._loglikelihood_tokens(requests)
        return self.seen


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("form", ["plain", "shaped"])
@pytest.mark.parametrize("fewshot", [0, 5])
def test_numbers_are_hflms(name: str, form: str, fewshot: int, stories: Loaded, data: Path) -> None:
    wanted = Questions.of(load_task(name), "harness", str(data / name), limit=LIMIT, fewshot=fewshot, seed=1)
    theirs, ours = Theirs(*stories[form], None), Ours(*stories[form], None)
    (expected, right), (found, same) = score_task(theirs, wanted), score_task(ours, wanted)
    assert len(ours.seen) >= 2 * LIMIT
    assert [v for v, _ in ours.seen] == pytest.approx([v for v, _ in theirs.seen], abs=1e-4)
    assert [greedy for _, greedy in ours.seen] == [greedy for _, greedy in theirs.seen]
    assert found == expected.model_copy(update={"cut": found.cut})
    assert same == right
    assert form == "plain" or not found.cut


TASK = """
task: owls
dataset_path: json
dataset_kwargs: {{data_files: {rows}, cache_dir: {cache}}}
output_type: multiple_choice
test_split: train
doc_to_text: question_stem
doc_to_choice: "{{{{choices.text}}}}"
doc_to_target: "{{{{choices.label.index(answerKey.lstrip())}}}}"
"""


def test_lm_evals_own_command_line_knows_it(shared: Path, tmp_path: Path) -> None:
    assert get_model("tailor") is Tailor
    rows = (shared / "data" / "openbookqa" / "test.jsonl").read_text().splitlines()[:20]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    (tmp_path / "owls.yaml").write_text(TASK.format(rows=tmp_path / "rows.jsonl", cache=tmp_path))
    output = {}
    for model in ("hf", "tailor"):
        command = [
            sys.executable, "-m", "tailored_llama.integrations.lm_eval", "run",
            "--model", model, "--device", "cpu",
            "--model_args", f"pretrained={shared / 'models' / 'stories260K'}",
            "--tasks", str(tmp_path / "owls.yaml"), "--output_path", str(tmp_path / model),
        ]  # fmt: skip
        subprocess.run(command, capture_output=True, text=True, check=True)
        (file,) = (tmp_path / model).rglob("results_*.json")
        output[model] = json.loads(file.read_text())["results"]["owls"]["acc,none"]
    assert output["hf"] == output["tailor"]


def test_rolling_log_likelihoods_too(stories: Loaded) -> None:
    from lm_eval.api.instance import Instance

    model, tokenizer = stories["plain"]
    wanted = [Instance("loglikelihood_rolling", {}, ("Once upon a time there was an owl. " * 60,), 0)]
    with torch.inference_mode():
        one, other = (
            kind(pretrained=model, tokenizer=tokenizer, device="cpu").loglikelihood_rolling(wanted, True)
            for kind in (HFLM, Tailor)
        )
    assert one == pytest.approx(other, rel=1e-5)
