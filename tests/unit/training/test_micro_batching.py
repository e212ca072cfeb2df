"""Training in little memory: smaller micro-batches after an out-of-memory error, recomputed activations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tailored_llama.recipe import Lora, Tune
from tailored_llama.training import loop as trainer
from tailored_llama.training.batches import Batch, Material, micro_batches
from tailored_llama.training.cpu_kernels.lora_product import fused
from tailored_llama.training.forward import recomputed
from tailored_llama.training.lora import attach
from tailored_llama.training.micro_batching import MicroBatching
from tests.support.double import InDouble, close
from tests.support.pico import fresh, model_of, pico_config
from tests.support.shots import shots_of

LENGTHS = [9, 14, 5, 20, 7, 12]


def trained(model: PreTrainedModel) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters() if p.requires_grad]


def gradients(model: PreTrainedModel) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@InDouble()
@pytest.mark.parametrize("fails", [0, 1, 2])
def test_a_step_that_ran_out_of_memory_is_repeated_with_smaller_batches(
    fails: int, caplog: pytest.LogCaptureFixture
) -> None:
    model, whole = fresh().double(), fresh().double()
    step, terms = micro_batches(shots_of(LENGTHS)), trainer.terms_of(Tune())
    expected = trainer.accumulate(whole, step, terms, "fp32")
    sizes: list[list[int]] = []

    def work(batches: Sequence[Batch]) -> dict[str, float]:
        sizes.append([batch.ids.numel() for batch in batches])
        found = trainer.accumulate(model, batches, terms, "fp32")
        if len(sizes) <= fails:  # after a whole backward pass: half of the gradients must not stay
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return found

    micro = MicroBatching(2048, branching=True)
    found = micro.run(model, step, work)
    assert found == pytest.approx(expected, rel=1e-12)
    close(gradients(model), gradients(whole))
    assert len(sizes) == fails + 1
    assert all(max(later) < max(earlier) for earlier, later in pairwise(sizes))
    assert len(caplog.records) == fails
    assert all(batch.ids.numel() <= micro.limit for batch in micro.split(step)), "later steps begin with it"


@pytest.mark.parametrize("error", [RuntimeError("a mistake"), torch.OutOfMemoryError("out of memory")])
def test_what_smaller_batches_do_not_cure_is_raised(error: Exception) -> None:
    calls = []

    def work(batches: Sequence[Batch]) -> None:
        calls.append(len(batches))
        raise error

    with pytest.raises(type(error), match=str(error)):
        MicroBatching(2048, branching=False).run(fresh(), micro_batches(shots_of(LENGTHS)), work)
    assert calls[-1] == (len(LENGTHS) if isinstance(error, torch.OutOfMemoryError) else 1)


@pytest.mark.parametrize("limit", [16, 2048])
def test_fit_divides_its_steps(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    logprobs = trainer.logprobs

    def seen(model: Any, batch: Batch, precision: Any) -> Tensor:
        sizes.append(batch.ids.numel())
        return logprobs(model, batch, precision)

    monkeypatch.setattr(trainer, "logprobs", seen)
    settings = Tune(epochs=1, batch_size=6, micro_tokens=limit, precision="fp32")
    model = attach(fresh(), Lora(r=2, dropout=0))
    trainer.fit(model, Material(shots_of(LENGTHS)), settings, seed=0)
    assert (max(sizes) > 40) == (limit == 2048)


@pytest.mark.parametrize("case", ["llama", "phi3", "gemma2", "qwen3 with windows"])
@pytest.mark.parametrize("adapters", [True, False])
def test_recomputed_activations_give_the_same_gradients(case: str, adapters: bool) -> None:
    step, terms = micro_batches(shots_of(LENGTHS)), trainer.terms_of(Tune())
    found = []
    for enabled in (False, True):
        model = model_of(pico_config(case, vocab_size=64)).train()
        torch.manual_seed(1)
        tuned = attach(model, Lora(r=2, dropout=0.3)) if adapters else model
        torch.manual_seed(2)  # dropout is drawn again alike
        with fused(tuned), recomputed(tuned, enabled):
            trainer.accumulate(tuned, step, terms, "fp32")
        found.append(gradients(tuned))
    assert torch.equal(found[1], found[0])  # the same operations, once more
    assert found[0].abs().max() > 0


def test_fewer_activations_are_kept() -> None:
    kept = []
    for enabled in (False, True):
        model = fresh(num_hidden_layers=6).train()
        saved: list[int] = []

        def pack(tensor: Tensor, saved: list[int] = saved) -> Tensor:
            if not isinstance(tensor, nn.Parameter):
                saved.append(tensor.numel())
            return tensor

        with recomputed(model, enabled), torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held):
            ids = torch.randint(40, (2, 30))
            model(input_ids=ids, labels=ids)
        kept.append(sum(saved))
        assert all("forward" not in layer.__dict__ for layer in model.get_decoder().layers)
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.parametrize("section", ["tune", "heal"])
def test_training_with_it_is_the_same(section: str) -> None:
    results = []
    for enabled in (False, True):
        torch.manual_seed(0)
        model = attach(fresh(), Lora(r=2, dropout=0))
        settings = Tune(epochs=2, batch_size=3, activation_checkpointing=enabled, precision="fp32")
        trainer.fit(model, Material(shots_of(LENGTHS)), settings, seed=0, title=section)
        results.append(trained(model))
    for plain, again in zip(*results, strict=True):
        torch.testing.assert_close(plain, again, rtol=1e-3, atol=1e-6)
