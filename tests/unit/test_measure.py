"""Measure: what a model weighs by formula, and decoding by the clock."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from checkpoint_picos import plain, shaped, tokens

from tailored_llama.measure.greedy import Decoded, decode


@pytest.mark.parametrize("form", [plain, shaped])
def test_decoding_is_what_generate_does(form: Any) -> None:
    model, ids = form(), tokens(3, 7)
    model.generation_config.eos_token_id = None
    found = decode(model, ids, 12)
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(found.tokens, model.generate(ids, **options)[:, 7:])
    assert 0 < found.first < found.seconds


def test_one_row_ends_with_a_token_that_ends_it() -> None:
    model, ids = plain(), tokens(1, 5)
    whole = decode(model, ids, 10).tokens[0].tolist()
    stop = whole[3]
    assert decode(model, ids, 10, stop={stop}).tokens[0].tolist() == whole[: whole.index(stop) + 1]


def test_rates_count_the_tokens_after_the_first() -> None:
    tokens_of_two = torch.zeros(2, 5, dtype=torch.long)
    assert Decoded(tokens_of_two, first=1.0, seconds=3.0).decode_rate == 4.0
    assert Decoded(tokens_of_two[:, :1], first=1.0, seconds=1.0).decode_rate is None
