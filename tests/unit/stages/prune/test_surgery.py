"""A cut model computes what the dense one computes with the same units zeroed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tailored_llama import checkpoint, families
from tailored_llama.families import Group, Kept, Slice
from tailored_llama.stages.prune import CutWeights, surgery
from tests.support.double import InDouble, close
from tests.support.masking import masked, some_units
from tests.support.pico import SHAPES, config_of, model_of, tokens_of, weights_of


@settings(max_examples=20, deadline=None)
@given(shape=SHAPES, data=st.data())
@InDouble()
def test_cut_equals_masked(shape: dict[str, Any], data: st.DataObject) -> None:
    config = config_of(**shape)
    model = model_of(config).double()
    kept = some_units(config, data.draw)
    weights = CutWeights(checkpoint.ModelWeights(model), kept)
    cut = checkpoint.load_model(weights)
    assert families.parameter_count(cut.config) == sum(p.numel() for p in cut.parameters())
    for name in weights.names():
        assert weights.shape(name) == tuple(weights.tensor(name).shape)
        assert torch.equal(weights.tensor(name), cut.get_parameter(name))
    tokens = tokens_of(config)
    with torch.no_grad():
        expected, found = masked(model, kept)(tokens).logits, cut(tokens).logits
    close(found, expected)


def test_cuts_compose() -> None:
    weights = weights_of(config_of())
    first: Kept = {"heads": {1: [1]}, "mlp": {0: [3, 5, 7, 9], 2: [0, 1]}}
    second: Kept = {"mlp": {0: [1, 3], 1: [4]}}
    both: Kept = {"heads": {1: [1]}, "mlp": {0: [5, 9], 1: [4], 2: [0, 1]}}
    twice, once = CutWeights(CutWeights(weights, first), second), CutWeights(weights, both)
    assert families.widths(twice.config) == families.widths(once.config)
    for name in weights.names():
        assert torch.equal(twice.tensor(name), once.tensor(name))


def test_what_is_not_cut_is_not_copied() -> None:
    weights = weights_of(config_of())
    cut = CutWeights(weights, {"mlp": {0: [1]}})
    name = "model.layers.1.mlp.up_proj.weight"
    assert cut.tensor(name).data_ptr() == weights.tensor(name).data_ptr()
    assert cut.shape("model.layers.0.mlp.down_proj.weight") == (16, 1)


def test_slices_that_share_an_axis_keep_what_nobody_owns(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in fused projections: gate and up in the rows of one matrix, and more rows behind them."""
    weights = weights_of(config_of(num_hidden_layers=1))
    name = "model.layers.0.mlp.up_proj.weight"
    fused = Group("mlp", 0, 10, (Slice(name, 0, 1), Slice(name, 0, 1, offset=10)), 1, 0)
    monkeypatch.setattr(surgery, "groups", lambda config: [fused])
    rows: Tensor = CutWeights(weights, {"mlp": {0: [2, 7]}}).tensor(name)
    assert torch.equal(rows, weights.tensor(name)[[2, 7, 12, 17, 20, 21, 22, 23]])
