"""Adapters are on every projection of every layer, whatever a family calls them, and learn the same where the
last layer works only on what is read.
"""

from __future__ import annotations

import pytest
import torch

from tailored_llama.recipe import Lora
from tailored_llama.scoring import Request
from tailored_llama.training import forward
from tailored_llama.training.batches import Shot, collate
from tailored_llama.training.lora import attach
from tests.support.masking import writers
from tests.support.pico import DISTINCT, OWN, pico, pico_config


@pytest.mark.parametrize("case", OWN)
def test_no_projection_goes_without_an_adapter(case: str) -> None:
    model = pico(case, weights="fresh")
    projections = {
        id(module) for module in model.get_decoder().modules() if isinstance(module, torch.nn.Linear)
    }
    adapted = attach(model, Lora(r=2, alpha=4))
    held = {id(m.base_layer) for m in adapted.modules() if hasattr(m, "lora_A")}
    assert held == projections


@pytest.mark.parametrize("case", DISTINCT)
def test_the_last_layer_works_only_on_what_is_read(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = pico_config(case)
    model = pico(case, weights="fresh")
    attach(model, Lora(r=2, alpha=4, dropout=0))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.1)
    ids = torch.randint(3, config.vocab_size, (3, 14)).tolist()
    batch = collate([Shot((Request(0, 0, tuple(r[:n]), tuple(r[n - 2 : n + 1]), cut=False),))
                     for r, n in zip(ids, (13, 9, 11), strict=True)])  # fmt: skip

    def learnt() -> tuple[torch.Tensor, list[torch.Tensor], list[int]]:
        rows: list[int] = []
        last = model.get_decoder().layers[-1]
        hook = writers(last)[1].register_forward_hook(
            lambda _, inputs, __: rows.append(inputs[0].shape[:-1].numel())
        )
        model.zero_grad()
        values = forward.logprobs(model, batch, "fp32")
        (values * torch.arange(values.numel()).view(values.shape).cos()).sum().backward()
        hook.remove()
        return values.detach(), [p.grad for p in model.parameters() if p.grad is not None], rows

    *ours, few = learnt()
    monkeypatch.setattr(forward, "TOKENWISE", ())
    *everywhere, all_of_them = learnt()
    assert (few, all_of_them) == ([len(batch.places)], [batch.ids.numel()])
    torch.testing.assert_close(ours, everywhere, atol=2e-5, rtol=1e-4)
