"""The walk equals one backward pass through the whole model, and keeps its hands off it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from transformers import PreTrainedModel

from tailored_llama import families
from tailored_llama.checkpoint import Checkpoint, ModelWeights
from tailored_llama.families import LayerWidths
from tailored_llama.stages.prune import walk as walk_module
from tailored_llama.stages.prune.walk import Walk
from tests.support.double import InDouble, close
from tests.support.pico import SHAPES, config_of, model_of, pico_config, tokens_of

Found = dict[str, tuple[Tensor, Tensor | None]]


def scored_of(config: Any, layers: range) -> list[str]:
    chosen = [group for group in families.groups(config) if group.layer in layers]
    return [piece.tensor for group in chosen for piece in group.slices if piece.scored]


def walked(model: Any, tokens: Tensor, layers: range, *, per_sample: bool = False) -> tuple[Found, float]:
    found: Found = {}

    def consume(name: str, weight: Tensor, gradient: Tensor, squares: Tensor | None) -> None:
        assert name not in found
        assert torch.equal(weight, model.get_parameter(name))
        found[name] = (gradient, squares)

    walk = Walk(ModelWeights(model), tokens, scored_of(model.config, layers), per_sample=per_sample)
    return found, walk.gradients(consume)


def whole(model: Any, tokens: Tensor, names: Any) -> tuple[dict[str, Tensor], float]:
    """Gradients of one backward pass, the oracle."""
    loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
    gradients = torch.autograd.grad(loss, [model.get_parameter(name) for name in names])
    return dict(zip(names, gradients, strict=True)), loss.item()


def double(config: Any) -> PreTrainedModel:
    """A model in double precision, where any order of summation gives the same."""
    return model_of(config).double()


@settings(max_examples=12, deadline=None)
@given(shape=SHAPES)
@InDouble()
def test_equals_the_whole_models_backward(shape: dict[str, Any]) -> None:
    config = config_of(**shape)
    model, tokens = double(config), tokens_of(config)
    found, loss = walked(model, tokens, range(config.num_hidden_layers))
    expected, expected_loss = whole(model, tokens, found)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert len(found) == 7 * config.num_hidden_layers
    for name, (gradient, squares) in found.items():
        assert squares is None
        close(gradient, expected[name])


@InDouble()
def test_squares_are_of_each_samples_own_loss() -> None:
    config = config_of()
    model, tokens = double(config), tokens_of(config)
    found, _ = walked(model, tokens, range(3), per_sample=True)
    batch, _ = whole(model, tokens, found)
    each = [whole(model, row[None], found)[0] for row in tokens]
    for name, (gradient, squares) in found.items():
        close(gradient, batch[name])
        assert squares is not None
        close(squares, torch.stack([own[name] for own in each]).square().mean(dim=0))


AROUND = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]


@pytest.mark.parametrize("case", ["llama", "qwen2", "gemma2", "gemma3_text"])
@pytest.mark.parametrize("tied", [False, True])
@InDouble()
def test_parameters_around_the_layers(case: str, tied: bool) -> None:
    model = double(pico_config(case, tie_word_embeddings=tied))
    model.set_attn_implementation("eager")
    tokens = tokens_of(model.config, samples=3)
    names = [*AROUND[: 2 if tied else 3], "model.layers.1.input_layernorm.weight"]
    expected, _ = whole(model, tokens, names)
    each = [whole(model, row[None], names)[0] for row in tokens]
    for per_sample in (False, True):
        found: Found = {}
        walk = Walk(ModelWeights(model), tokens, names, per_sample=per_sample)
        walk.gradients(lambda name, weight, *gradients, to=found: to.update({name: gradients}))
        assert set(found) == set(names)
        for name, (gradient, squares) in found.items():
            close(gradient, expected[name])
            if per_sample:
                assert squares is not None
                close(squares, torch.stack([own[name] for own in each]).square().mean(dim=0))


def test_products_in_bf16_are_near() -> None:
    model, tokens = model_of(config_of()), tokens_of(config_of())
    found: dict[str, Tensor] = {}
    walk = Walk(ModelWeights(model), tokens, scored_of(model.config, range(3)), precision="bf16")
    walk.gradients(lambda name, weight, gradient, squares: found.update({name: gradient}))
    expected, _ = whole(model, tokens, found)
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32
        error = (gradient - expected[name]).norm() / expected[name].norm()
        assert 0 < error < 0.05, name


@InDouble()
def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of()
    model, tokens = double(config), tokens_of(config, samples=5)
    at_once, _ = walked(model, tokens, range(3))
    monkeypatch.setattr(walk_module, "TOKENS_AT_ONCE", 2 * tokens.shape[1])
    monkeypatch.setattr(walk_module, "LOGITS_AT_ONCE", 3 * config.vocab_size)
    in_pieces, _ = walked(model, tokens, range(3))
    for name, (gradient, _) in at_once.items():
        close(in_pieces[name][0], gradient)


@InDouble()
def test_only_the_chosen_layers() -> None:
    model = double(config_of(num_hidden_layers=4))
    found, _ = walked(model, tokens_of(model.config), range(1, 3))
    expected, _ = whole(model, tokens_of(model.config), found)
    assert {int(name.split(".")[2]) for name in found} == {1, 2}
    for name, (gradient, _) in found.items():
        close(gradient, expected[name])


@InDouble()
def test_layers_of_different_widths() -> None:
    unlike = [LayerWidths(4, 2, 24), LayerWidths(2, 1, 5), LayerWidths(2, 1, 24)]
    model = double(families.with_widths(config_of(), unlike))
    found, _ = walked(model, tokens_of(model.config), range(3))
    expected, _ = whole(model, tokens_of(model.config), found)
    for name, (gradient, _) in found.items():
        close(gradient, expected[name])


@InDouble()
def test_tied_embeddings_from_the_disk_and_a_padding_id(tmp_path: Path) -> None:
    model = double(config_of(tie_word_embeddings=True, pad_token_id=39))
    model.save_pretrained(tmp_path / "tied")
    tokens = tokens_of(model.config)
    found: dict[str, Tensor] = {}
    walk = Walk(Checkpoint(tmp_path / "tied"), tokens, scored_of(model.config, range(3)))
    walk.gradients(lambda name, weight, gradient, squares: found.update({name: gradient}))
    expected, _ = whole(model, tokens, found)
    for name, gradient in found.items():
        close(gradient, expected[name])


@pytest.mark.parametrize("rope", ["linear", "dynamic", "llama3"])
@InDouble()
def test_scaled_positions(rope: str) -> None:
    scaling = {"rope_type": rope, "factor": 2.0, "rope_theta": 1e4}
    if rope == "llama3":
        scaling |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8}
    model = double(config_of(rope_parameters=scaling, max_position_embeddings=16))
    found, _ = walked(model, tokens_of(model.config, length=12), range(3))
    expected, _ = whole(model, tokens_of(model.config, length=12), found)
    for name, (gradient, _) in found.items():
        close(gradient, expected[name])


def test_the_model_stays_as_it_was() -> None:
    model = model_of(config_of())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    walked(model, tokens_of(model.config), range(3))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_half_precision_is_scored_in_single() -> None:
    model, single = model_of(config_of()).to(torch.bfloat16), model_of(config_of())
    single.load_state_dict(model.state_dict())
    found: dict[str, Tensor] = {}
    walk = Walk(ModelWeights(model), tokens_of(model.config), scored_of(model.config, range(3)))
    walk.gradients(lambda name, weight, gradient, squares: found.update({name: gradient}))
    converted, _ = walked(single, tokens_of(model.config), range(3))
    expected, _ = whole(single, tokens_of(model.config), found)
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32
        assert torch.equal(gradient, converted[name][0])
        error = (gradient - expected[name]).norm() / expected[name].norm()
        assert error < 1e-4, name  # in bf16: 1e-2
