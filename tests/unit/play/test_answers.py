"""The page's models, questions and answers, without a browser."""

from __future__ import annotations

import re
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tailored_llama.checkpoint import load_model, load_tokenizer, open_weights, weights_digest, write_json
from tailored_llama.cli import execute
from tailored_llama.errors import DataError, TaskError, TuneError
from tailored_llama.families import LayerWidths
from tailored_llama.play.answers import Reply, columns, reply
from tailored_llama.play.models import Answer, Player, display_names, load_players
from tailored_llama.play.questions import Question, names, question, start, typed, wordings
from tests.support.pico import layered
from tests.support.tokenizers import TEXTS, byte_level

PROMPT = "Once upon a time there was a"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A pico model with a tokenizer, on the disk."""
    layered([LayerWidths(4, 2, 37)] * 2).save_pretrained(tmp_path / "base")
    byte_level(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    """A tuned directory as a run leaves it: the adapter, its base's digest and its shots."""
    adapted = get_peft_model(load_model(base), LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(std=0.2)
    folder = tmp_path / "tune-world_boolq"
    adapted.save_pretrained(str(folder / "adapter"), save_embedding_layers=False)
    write_json(folder / "adapter" / "base.json", {"weights": weights_digest(open_weights(base))})
    write_json(folder / "shots.json", {"task": "world_boolq", "prompt": "cloze", "rows": [1]})
    return folder


def test_answers_are_the_models_own(base: Path) -> None:
    (player,) = load_players([base])
    output = player.answer(PROMPT, 9)
    ids = load_tokenizer(base)(PROMPT, return_tensors="pt")["input_ids"]
    written = load_model(base).generate(ids, max_new_tokens=9, do_sample=False, pad_token_id=0)[
        0, ids.shape[1] :
    ]
    assert output.text == load_tokenizer(base).decode(written, skip_special_tokens=True)
    assert (output.read, output.tokens, output.cut) == (ids.shape[1], len(written), False)
    assert player.weight_bytes == sum(p.numel() * p.element_size() for p in player.model.parameters())


def test_probabilities_are_those_of_the_choices_among_themselves(base: Path) -> None:
    (player,) = load_players([base])
    tokenizer, model = player.tokenizer, player.model
    values = []
    for choice in (" cat", " owl sat", " dog"):
        before, ids = tokenizer(PROMPT)["input_ids"], tokenizer(PROMPT + choice)["input_ids"]
        with torch.no_grad():
            logs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        values.append(sum(logs[i - 1, ids[i]] for i in range(len(before), len(ids))))
    wanted = torch.stack(values).softmax(0)
    found = player.choose(PROMPT, ["cat", "owl sat", "dog"], " ", "acc")
    assert (torch.tensor(found) - wanted).abs().max() < 1e-5


def test_a_prompt_that_is_too_long_loses_its_beginning(base: Path) -> None:
    (player,) = load_players([base])
    output = player.answer(TEXTS[0] * 40, 6)
    assert output.cut
    assert output.read == player.context - 6


def test_an_adapter_goes_on_the_base_that_is_named_with_it(base: Path, adapter: Path) -> None:
    players = load_players(["world", base, adapter])
    assert [player.name for player in players] == ["world", "base", "tune-world_boolq"]
    assert players[2].params == players[1].params
    assert players[2].answer(PROMPT, 8).text != players[1].answer(PROMPT, 8).text
    first = start(players, {})
    assert (first.task, first.wording) == ("world_boolq", "cloze")
    assert first.question == question("world_boolq", "cloze", 1, {})


def test_an_adapter_without_its_base_is_refused(base: Path, adapter: Path) -> None:
    with pytest.raises(TuneError, match="which is not among the models; name its base too"):
        load_players(["world", adapter])


def test_models_have_names_apart(base: Path) -> None:
    assert display_names(["world", base]) == ["world", "base"]
    assert display_names([base, base]) == [f"{base} (1)", f"{base} (2)"]


def test_a_row_is_asked_as_it_is_scored() -> None:
    row = question("world_piqa", "paper", 2, {})
    assert row.metric == "acc"
    assert row.gold in (0, 1)
    assert typed(row.prompt, row.lines, row) == row
    assert typed(row.prompt + " ", row.lines, row).gold is None, "another prompt has no known answer"
    question_ = typed("Is it?", " yes \n\nno\n", row)
    assert question_ == Question("Is it?", ("yes", "no"))
    assert "harness" not in wordings("world_winogrande"), "partial evaluation has no one prompt"
    for number in (0, None, 10**9):
        with pytest.raises(DataError, match="has rows 1 to"):
            question("world_piqa", "paper", number, {})
    with pytest.raises(TaskError, match="has no wording 'x'"):
        question("world_piqa", "x", 1, {})
    with pytest.raises(DataError, match="prompt is empty"):
        typed(" ", "", None)
    with pytest.raises(DataError, match="there is only one choice"):
        typed("Is it?", "yes", None)


def test_an_answer_that_is_written_has_no_choices(base: Path, tmp_path: Path) -> None:
    (player,) = load_players([base])
    (tmp_path / "test.jsonl").write_text('{"question": "Who sat on the cat?", "answer": "An owl did."}')
    record = question("world_tell", "harness", 1, {"world_tell": str(tmp_path)})
    assert record.choices == ()
    assert typed(record.prompt, "", record) == record
    assert f"Correct: {record.references[0]}" in columns([player], record, {"base": reply(player, record, 4)})


def test_only_tasks_whose_rows_are_here_are_offered(base: Path, adapter: Path) -> None:
    players = load_players([base])
    offered = names(players, {})
    assert "world_boolq" in offered
    assert "boolq" not in offered, "its rows are on the hub"
    assert "boolq" in names(players, {"boolq": "some/where"})
    assert start(players, {}).question == Question("")
    assert names(load_players([base, adapter]), {})[0] == "world_boolq"


def test_what_a_model_says_is_shown_and_never_run(base: Path) -> None:
    (player,) = load_players([base])
    mark = "<img src=x onerror=alert(1)> ${1+1} {{x}}"
    output = {player.name: Reply(Answer(mark, 3, 0.1, 20.0, 5, cut=True), (0.25, 0.75))}
    html = columns(
        [player, Player("<b>", player.model, player.tokenizer)], Question("p", (mark, "b"), 1), output
    )
    assert "<img" not in html
    assert "<b>" not in html.replace('<b class="tl-right">', "")
    assert html.count("&lt;img") == 3
    picked = re.search(
        r'<li class="picked">\s*<span class="tl-choice" title="b">b <b class="tl-right">', html
    )
    assert picked
    assert "75.0%" in html
    assert "100.0 ms" in html
    assert "was truncated on the left" in html
    assert html.count("thinking") == 1


def test_text_alone_is_asked_without_choices(base: Path) -> None:
    (player,) = load_players([base])
    assert reply(player, Question(PROMPT), 3).probabilities == ()


def one_line(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert execute(["play", *map(str, arguments)]) == 2
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    return line


def test_without_gradio_it_says_which_extra(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert "pip install 'tailored-llama[play]'" in one_line(capsys, base)


@pytest.mark.skipif(find_spec("gradio") is None, reason="no gradio: pip install 'tailored-llama[play]'")
def test_mistakes_are_one_line(base: Path, adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        output = one_line(capsys, base, "--port", str(taken.getsockname()[1]))
    assert "choose another port with --port" in output
    assert "nowhere" in one_line(capsys, base, "nowhere/at-all-x")
    assert "name its base too" in one_line(capsys, adapter)
