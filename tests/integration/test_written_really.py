"""Written answers on a trained model and LLaMA's tokenizer: lm_eval's own generation writes the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from tailored_llama import checkpoint
from tailored_llama.data import Example, Generation
from tailored_llama.scoring import write
from tailored_llama.scoring.requests import encode_context, encode_written

CONTEXTS = (
    "Once upon a time, there was a little girl named",
    "Question: What did the dog find in the park?\nAnswer:",
    "Tom had a red ball. He liked to",
    "The sun was hot.\n",
    "One day",
)


@pytest.mark.parametrize("stops", [("\n",), (".", "\n"), (" the",)])
def test_texts_are_those_of_lm_eval(shared: Path, stops: tuple[str, ...]) -> None:
    directory = shared / "models" / "stories260K"
    model, tokenizer = checkpoint.load_model(directory), checkpoint.load_tokenizer(directory)
    examples = [Example((c,), (" x",), 0, row, references=("x",)) for row, c in enumerate(CONTEXTS)]
    ours = write(model, tokenizer, examples, Generation(max_new_tokens=24, stop=stops))
    lm = HFLM(pretrained=model, tokenizer=checkpoint.load_tokenizer(directory), device="cpu", batch_size=2)
    settings = {"until": list(stops), "max_gen_toks": 24, "do_sample": False}
    requests = [Instance("generate_until", {}, (context, settings), 0) for context in CONTEXTS]
    theirs = lm.generate_until(requests, disable_tqdm=True)
    assert [answer.text for answer in ours] == [text.strip() for text in theirs]
    assert any(answer.text for answer in ours)


def test_llamas_tokens_after_a_context_are_those_of_the_whole_text(shared: Path) -> None:
    tokenizer = checkpoint.load_tokenizer(shared / "tokenizers" / "llama")
    for context, answer in (
        ("Tell in a sentence: What does the fox eat?\nSentence:", " The fox eats honey."),
        ("### Input:\nWhat does the fox eat?\n\n### Response:\n", "The fox eats honey."),
        ("Answer: ", "yes"),
    ):
        before, after = encode_written(tokenizer, context, answer)
        assert before == encode_context(tokenizer, context)
        assert before + after == [*tokenizer.encode(context + answer), tokenizer.eos_token_id]
        written = tokenizer.decode(after, skip_special_tokens=True)
        assert written.strip() == answer.strip()


def test_an_answer_that_llama_merges_into_its_context_is_learnt_after_what_is_read(shared: Path) -> None:
    tokenizer = checkpoint.load_tokenizer(shared / "tokenizers" / "llama")
    context, answer = "The answ", "er is yes"
    before, after = encode_written(tokenizer, context, answer)
    assert [*before, *after] != [*tokenizer.encode(context + answer), tokenizer.eos_token_id]
    assert before == encode_context(tokenizer, context) == tokenizer.encode(context)
    assert after[-1] == tokenizer.eos_token_id
