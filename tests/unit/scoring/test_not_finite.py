"""A model that gives NaN or infinities is not scored or tuned: the task, the row and the cause are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tailored_llama import evaluate, heal, tune
from tailored_llama.cli import execute
from tailored_llama.data import load_task
from tailored_llama.errors import DivergedError, NotFiniteError
from tailored_llama.play.models import Player
from tailored_llama.profiling.greedy import decode
from tailored_llama.recipe import Heal, Tune
from tailored_llama.scoring import rank_prompts
from tailored_llama.stages.tune import rank_wordings
from tests.support.pico import worded
from tests.support.tasks import ROWS, write_split, written_task
from tests.support.tokenizers import tokenizer

QUICK: dict[str, Any] = {"shots": 4, "epochs": 1, "batch_size": 4}
BAD = "ж"
"""Bytes that only one row has."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("rows")
    for split in ("train", "validation"):
        rows = [
            {**ROWS["boolq"], "passage": f"{split} {i} {BAD if i == 4 else ''}.", "label": i % 2}
            for i in range(8)
        ]
        write_split(folder, split, rows)
    return {"boolq": str(folder)}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with one NaN in a tensor."""
    directory = tmp_path_factory.mktemp("broken")
    model = worded()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = torch.nan
    model.save_pretrained(directory)
    tokenizer().save_pretrained(directory)
    return directory


def overflowing(word: str = BAD) -> PreTrainedModel:
    """A model of finite weights that gives NaN for every text with `word` in it, and for no other."""
    model = worded()
    marked = tokenizer()(f" {word}", add_special_tokens=False)["input_ids"][-1]

    def hook(_: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        return output.masked_fill((inputs[0] == marked)[..., None], torch.nan)

    assert not any(marked in tokenizer()(text)["input_ids"] for text in ("The owl", "yes", "no", "who?"))
    model.get_input_embeddings().register_forward_hook(hook)
    return model


def everywhere() -> PreTrainedModel:
    """A model whose weights are finite and whose logits overflow."""
    model = worded()
    with torch.no_grad():
        model.lm_head.weight.mul_(1e38)
    return model


TENSOR = r"model\.layers\.1\.mlp\.up_proj\.weight contains NaN"


def test_weights_on_the_disk(broken: Path, data: dict[str, str], tmp_path: Path) -> None:
    place = r"task boolq, .*validation\.jsonl, row 1: "
    with pytest.raises(NotFiniteError, match=f"^{place}{broken}: {TENSOR}"):
        evaluate(broken, tasks=["boolq"], data=data, out=tmp_path / "out")
    text = tmp_path / "text.txt"
    text.write_text("the owl " * 99)
    with pytest.raises(NotFiniteError, match=rf"^perplexity of {text}: .*{TENSOR}"):
        evaluate(broken, perplexity=[str(text)], length=8, out=tmp_path / "out")
    with pytest.raises(NotFiniteError, match=f"^task boolq: .*{TENSOR}"):
        tune(broken, task="boolq", data=data, out=tmp_path / "out", **QUICK)
    with pytest.raises(NotFiniteError, match=f"^task boolq: .*{TENSOR}"):
        rank_wordings(broken, task="boolq", data=data, settings=Tune(shots=4))
    with pytest.raises(NotFiniteError, match=rf"^teacher {broken}: .*{TENSOR}"):
        heal(broken, teacher=broken, tasks="boolq", data=data, shots=Tune(shots=4), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_in_memory(data: dict[str, str]) -> None:
    model = worded()
    with torch.no_grad():
        model.model.norm.weight[0] = torch.inf
    message = r"^task boolq, .*, row 1: the model in memory: model\.norm\.weight contains Inf"
    with pytest.raises(NotFiniteError, match=message):
        evaluate(model, tokenizer=tokenizer(), tasks=["boolq"], data=data)
    with pytest.raises(NotFiniteError, match=r"model\.norm\.weight contains Inf"):
        tune(model, task="boolq", tokenizer=tokenizer(), data=data, **QUICK)


def test_the_row_that_overflows_is_named(data: dict[str, str], tmp_path: Path) -> None:
    model, words = overflowing(), tokenizer()
    with pytest.raises(
        NotFiniteError, match=r"^task boolq, .*validation\.jsonl, row 5: its log-likelihood is"
    ):
        evaluate(model, tokenizer=words, tasks=["boolq"], data=data)
    assert evaluate(model, tokenizer=words, tasks=["boolq"], data=data, limit=4)["mean"] is not None
    task = load_task("boolq")
    rows = task.rows("train", data["boolq"])
    with pytest.raises(NotFiniteError, match=r"^boolq: prompt \w+, row 5: its log-likelihood is not finite"):
        rank_prompts(model, words, task, rows)
    text = tmp_path / "text.txt"
    text.write_text("the owl and the cat " * 40 + BAD + " the owl " * 40)
    with pytest.raises(
        NotFiniteError, match=rf"^perplexity of {text}, window (\d+): the loss is nan"
    ) as caught:
        evaluate(model, tokenizer=words, perplexity=[str(text)], length=8)
    window = int(str(caught.value).partition("window ")[2].partition(":")[0])
    ids = words(text.read_text())["input_ids"]
    marked = words(f" {BAD}", add_special_tokens=False)["input_ids"][-1]
    assert window == ids.index(marked) // 8 + 1
    assert "the model's activations overflow (float32)" in str(caught.value)


def test_written_answers(tmp_path: Path) -> None:
    own = written_task(tmp_path)
    with pytest.raises(NotFiniteError, match=r"^task own, .*test.*, row \d: the logits of the next token"):
        evaluate(everywhere(), tokenizer=tokenizer(), tasks=[own], prompt="plain")


def test_tuning_names_what_no_step_has_changed_yet(data: dict[str, str]) -> None:
    with pytest.raises(
        NotFiniteError, match=r"^tune boolq, row \d: the loss of the untrained model"
    ) as caught:
        tune(everywhere(), task="boolq", tokenizer=tokenizer(), data=data, prompt="harness", **QUICK)
    assert not isinstance(caught.value, DivergedError)
    assert "learning_rate" not in str(caught.value)


def test_healing_and_its_teacher(data: dict[str, str]) -> None:
    settings = Heal(texts=4, length=4, epochs=1)
    about: dict[str, Any] = {"tasks": "boolq", "data": data, "settings": settings, "tokenizer": tokenizer()}
    shots = Tune(shots=4, prompt="harness")
    with pytest.raises(NotFiniteError, match=r"^teacher in memory: the sampled text: the logits"):
        heal(worded(), teacher=everywhere(), shots=shots, **about)
    with pytest.raises(NotFiniteError, match=r"^heal, example \d+: the loss of the untrained model"):
        heal(everywhere(), teacher=worded(), shots=shots, **about)


def test_the_play_page() -> None:
    player = Player("mine", everywhere(), tokenizer())
    with pytest.raises(NotFiniteError, match=r"^mine, the prompt: the logits of the next token"):
        player.answer("the owl", 4)
    with pytest.raises(NotFiniteError, match=r"^mine, the question, row 1: its log-likelihood"):
        player.choose("the owl", ["yes", "no"], " ", "acc")
    ids = torch.tensor([[1, 2, 3], [1, 2, 3]])
    with pytest.raises(NotFiniteError, match="the prompt"):
        decode(everywhere(), ids, 2)
    plain = worded()
    with torch.no_grad():
        assert decode(plain, ids, 1).tokens[:, 0].tolist() == plain(ids).logits[:, -1].argmax(-1).tolist()


def test_the_command_line(
    broken: Path, data: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    places = f"data={json.dumps(data)}"
    assert execute(["evaluate", str(broken), "--tasks", "boolq", "--set", places, "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.strip().splitlines()
    assert line.startswith("tailor: task boolq, ")
    assert "row 1: " in line
    assert "up_proj.weight contains NaN; the checkpoint is damaged" in line
    assert not out.exists()
