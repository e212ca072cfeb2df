"""What a table states beside slices: the factor of logits, and the names of projections for LoRA."""

from __future__ import annotations

import pytest
import torch

from tailored_llama.errors import RecipeError
from tailored_llama.families import projections
from tailored_llama.recipe import Lora
from tailored_llama.scoring import can_branch, loglikelihoods
from tailored_llama.training.lora import attach
from tests.support.double import InDouble
from tests.support.pico import pico


@pytest.mark.parametrize("case", ["granite", "cohere2"])
@InDouble()
def test_answers_are_scored_with_the_factor_of_logits(case: str) -> None:
    model = pico(case).double()
    assert can_branch(model) == (case == "granite")  # the other has a sliding window
    ids, answer = (3, 4, 5, 6), (7,)
    ((found, _),) = loglikelihoods(model, [(ids, answer)])
    with torch.no_grad():
        wanted = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)[7]
    assert found == pytest.approx(float(wanted), rel=1e-4)


def test_projections_by_name() -> None:
    assert projections("starcoder2") == {
        "q": "q_proj", "o": "o_proj", "v": "v_proj", "k": "k_proj", "up": "c_fc", "down": "c_proj",
    }  # fmt: skip
    assert projections("phi3")["gate"] == projections("phi3")["up"] == "gate_up_proj"


def test_a_target_that_a_family_lacks() -> None:
    assert attach(pico("arcee"), Lora(targets=("gate", "up"))).peft_config["default"].target_modules == {
        "up_proj"
    }
    with pytest.raises(
        RecipeError, match=r"tune\.lora\.targets: arcee has no gate; choose from q, o, v, k, up"
    ):
        attach(pico("arcee"), Lora(targets=("gate",)))
