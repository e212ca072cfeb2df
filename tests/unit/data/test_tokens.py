"""What a tokenizer puts around a text, and tokens that a model does not have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from tailored_llama import evaluate, export, heal, tune
from tailored_llama.data import Example, Generation
from tailored_llama.data.text_windows import calibration_tokens
from tailored_llama.data.tokens import Encoder, check_ids
from tailored_llama.errors import CheckpointError
from tailored_llama.integrations.lm_eval.model import Tailor
from tailored_llama.play.models import Player
from tailored_llama.recipe import Calibration, Tune
from tailored_llama.scoring import encode_pair, requests, score, write
from tailored_llama.scoring.requests import encode_context, encode_written
from tailored_llama.stages.evaluate.harness import Model
from tailored_llama.stages.evaluate.perplexity import perplexity
from tailored_llama.training.batches import encode
from tests.support.pico import saved, worded
from tests.support.tasks import TEXT, choice_task, write_split, written_task
from tests.support.tokenizers import around, extended, tokenizer, without_start

FORMS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "end": lambda: around("<s>", "</s>"),
    "two ends": lambda: around("<s>", "</s> </s>"),
    "end alone": lambda: around("", "</s>"),
    "no start": without_start,
    "no start, an end": lambda: without_start("</s>"),
}
PLAIN: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "end": tokenizer,
    "two ends": tokenizer,
    "end alone": lambda: around("", ""),
    "no start": without_start,
    "no start, an end": without_start,
}
"""The same tokenizers with nothing behind a text: what has to come out."""


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_put_behind_a_text(form: str) -> None:
    words, plain = FORMS[form](), PLAIN[form]()
    for text in (TEXT, "a", "", "a </s>", " "):
        assert Encoder(words)(text) == plain.encode(text), text
    for text in ("<s>a", "</s>", "</s>a</s>"):
        assert Encoder(words)(text) == Encoder(plain)(text), text
    for context in ("Answer:", "Answer: ", "Answer:\n", "is y", "", " ", "a</s>"):
        for answer in (" yes", "es", "no and no"):
            assert encode_pair(words, context, answer) == encode_pair(plain, context, answer)
            assert encode_written(words, context, answer) == encode_written(plain, context, answer)
        assert encode_context(words, context) == encode_context(plain, context)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("context", ["", " "])
def test_an_empty_context_leaves_the_answer_whole(form: str, context: str) -> None:
    """A tokenizer without beginning-of-sequence token puts nothing before a text."""
    words = FORMS[form]()
    before, answer = encode_written(words, context, "yes no")
    assert before == [words.eos_token_id if words.bos_token is None else words.bos_token_id]
    assert answer[-1] == words.eos_token_id
    assert words.decode(answer[:-1]).strip() == "yes no"
    assert words.decode(encode_pair(words, context, "yes no")[1]).strip() == "yes no"


def test_an_end_that_the_text_brings_itself_stays() -> None:
    words = around("<s>", "</s>")
    assert Encoder(words)("a</s>") == [*tokenizer().encode("a"), words.eos_token_id]


@pytest.mark.parametrize("form", FORMS)
def test_every_stage_reads_the_same_with_and_without_an_end(form: str, tmp_path: Path) -> None:
    words, plain, model = FORMS[form](), PLAIN[form](), worded()
    requested = [Example((TEXT,) * 2, (" yes", " no"), 0, 0), Example(("", ""), (" yes", " the dog"), 1, 1)]
    written = [Example((TEXT,), (" yes",), 0, 0, references=("yes",))]

    def read(tokens: PreTrainedTokenizerFast) -> list[Any]:
        (tmp_path / "text.txt").write_text(TEXT * 4)
        (tmp_path / "rows.jsonl").write_text(json.dumps({"text": TEXT * 2}))
        windows = [
            calibration_tokens(
                Calibration(source=str(tmp_path / name), samples=1, length=length), lambda: tokens,
                vocabulary=300, seed=0,
            ).tolist()
            for name, length in (("text.txt", len(plain.encode(TEXT * 4))), ("rows.jsonl", 20))
        ]  # fmt: skip
        lm = Model(model, tokens, None)
        instances = [
            Instance("loglikelihood", {}, (e.contexts[i], e.answers[i]), i) for e in requested for i in (0, 1)
        ]
        for index, instance in enumerate(instances):
            instance.doc_id = index
        player = Player("pico", model, tokens)
        return [
            windows,
            [shot.choices for shot in encode(tokens, [*requested, *written], 64)],
            [question.loglikelihoods for question in score(model, tokens, requested)],
            lm.loglikelihood(instances),
            write(model, tokens, written, Generation(max_new_tokens=6, stop=())),
            perplexity(model, tokens, TEXT * 4, 8),
            (player.answer(TEXT, 6).text, player.answer(TEXT, 6).read),
            player.choose(TEXT, ["yes", "no"], " ", "acc"),
        ]

    assert read(words) == read(plain)


def test_lm_evals_own_command_line_reads_no_end_either() -> None:
    """`--model tailor` scores and generates behind the prompt, not behind its end."""
    lms = [
        Tailor(pretrained=worded(), tokenizer=words, device="cpu")
        for words in (around("<s>", "</s>"), tokenizer())
    ]
    for string in (TEXT, "<s>a", ""):
        assert lms[0].tok_encode(string) == lms[1].tok_encode(string)
    assert lms[0].tok_encode(TEXT, left_truncate_len=3) == lms[1].tok_encode(TEXT, left_truncate_len=3)
    assert lms[0].tok_encode("a", add_special_tokens=False) == lms[1].tok_encode(
        "a", add_special_tokens=False
    )
    for limit in (None, 3):
        batches = [lm.tok_batch_encode([TEXT, "a"], left_truncate_len=limit) for lm in lms]
        for one, other in zip(*batches, strict=True):
            assert torch.equal(one, other)


# Tokens without a row in the embedding


SAYS = r"token 301 \('zebra'\) has no row in an embedding of 300, and the tokenizer has 302 tokens"


@pytest.mark.parametrize("place", ["choice", "written"])
def test_a_token_that_a_row_uses_is_named_with_the_row(place: str, tmp_path: Path) -> None:
    model = saved(worded(), tmp_path / "model", extended())
    if place == "choice":
        task = choice_task(tmp_path / place, "zebra")
    else:
        task = written_task(tmp_path / place)
        for split in ("train", "test"):
            rows = [{"question": f"{split} zebra {i}", "answer": "a"} for i in range(6)]
            write_split(task.parent, split, rows)
    for call in (
        lambda: evaluate(model, tasks=[task], prompt="plain"),
        lambda: tune(model, task=task, shots=4, prompt="plain", out=tmp_path / "tuned"),
        lambda: heal(model, teacher=model, tasks=[task], shots=Tune(shots=4, prompt="plain")),
    ):
        with pytest.raises(
            CheckpointError, match=rf"{re.escape(str(task.parent))}/\w+\.jsonl, row \d: {SAYS}"
        ) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "tuned").exists()


def test_a_token_that_any_other_text_uses_is_named(tmp_path: Path) -> None:
    model, words = worded(), extended()
    (tmp_path / "text.txt").write_text("a zebra " * 40)
    settings = Calibration(source=str(tmp_path / "text.txt"), samples=2, length=8)
    example = Example(("a zebra",) * 2, (" yes", " no"), 0, 4)
    for call in (
        lambda: calibration_tokens(settings, lambda: words, vocabulary=300, seed=0),
        lambda: perplexity(model, words, "a zebra " * 40, 16, "text"),
        lambda: Player("pico", model, words).answer("a zebra", 2),
        lambda: Player("pico", model, words).choose("a zebra", ["yes", "no"], " ", "acc"),
        lambda: score(model, words, [example]),
        lambda: write(model, words, [example], Generation()),
        lambda: list(requests(words, [example], 64, 300)),
    ):
        with pytest.raises(CheckpointError, match=SAYS):
            call()


def test_only_what_is_read_counts() -> None:
    """A context that is cut loses what the model does not have."""
    example = Example(("zebra " + "the owl " * 40,) * 2, (" yes", " no"), 0, 4)
    assert score(worded(), extended(), [example], max_length=20)[0].cut
    check_ids([], 0, tokenizer())


def test_an_end_of_sequence_token_without_a_row(tmp_path: Path) -> None:
    """Nothing ends by it, and it is no padding; learning to write it is an error."""
    words = tokenizer()
    words.add_special_tokens({"eos_token": "<end>"})
    assert words.eos_token_id == 300
    example = Example((TEXT,), (" yes",), 0, 0, references=("yes",))
    longer = Example((TEXT * 3,), (" yes",), 0, 1, references=("yes",))
    assert len(write(worded(), words, [example, longer], Generation(max_new_tokens=4))) == 2
    with pytest.raises(CheckpointError, match=r"row 0: token 300 \('<end>'\) has no row"):
        encode(words, [example], 64, None, 300)
    model = saved(worded(), tmp_path / "model", words)
    with pytest.raises(CheckpointError, match=r"token 300 \('<end>'\) has no row"):
        export(model, to="gguf", out=tmp_path / "gguf")


@pytest.mark.parametrize("to", ["hf", "gguf"])
def test_a_start_without_a_row_is_refused_by_export(to: str, tmp_path: Path) -> None:
    words = tokenizer()
    words.add_special_tokens({"bos_token": "<start>"})
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A", special_tokens=[("<start>", 300)]
    )
    model = saved(worded(), tmp_path / "model", words)
    with pytest.raises(
        CheckpointError, match=r"model: token 300 \('<start>'\) has no row in an embedding of 300"
    ):
        export(model, to=to, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
