"""Reconstruction: the regression against normal equations written out, and what it does to whole models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from tailored_llama import checkpoint
from tailored_llama.checkpoint import ModelWeights
from tailored_llama.errors import DataError
from tailored_llama.families import MODEL, Kept
from tailored_llama.stages.prune import CutWeights, prune
from tailored_llama.stages.prune import walk as walk_module
from tailored_llama.stages.prune.reconstruct import Reconstructed
from tailored_llama.stages.prune.ridge import DAMPINGS, Ridge
from tests.support.pico import DISTINCT, config_of, model_of, pico_config, tokens_of

PLAIN: Kept = {"heads": {i: [0, 1] for i in range(3)}, "mlp": {i: [1, 2, 5, 7, 9, 19] for i in range(3)}}
SHAPED: Kept = {"heads": {0: [1], 2: [0, 1]}, "mlp": {1: [0, 7, 19], 2: [3, 4]}}

NARROW: Kept = {"hidden": {MODEL: list(range(0, 24, 2))}}
SHALLOW: Kept = {"layers": {MODEL: [0, 2]}, "query_heads": {2: [0, 2, 4]}}
"""Residual channels gone, and a layer."""


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(1, 30), inputs=st.integers(1, 12), outputs=st.integers(1, 6), damping=st.floats(1e-3, 9)
)
def test_correction_is_that_of_the_normal_equations(
    rows: int, inputs: int, outputs: int, damping: float
) -> None:
    """With fewer rows than inputs and with more: either form of the same thing."""
    x, y, weight = numbers(rows, inputs), numbers(rows, outputs, seed=1), numbers(outputs, inputs, seed=2)
    ridge = Ridge(weight, rows)
    for part in (slice(0, rows // 2), slice(rows // 2, rows)):
        ridge.add(x[part], y[part], held_out=False)
    scale = damping * float((x.T @ x).diagonal().mean())
    wanted = torch.linalg.solve(x.T @ x + scale * torch.eye(inputs), x.T @ (y - x @ weight.T))
    torch.testing.assert_close(ridge.correction(damping), wanted, rtol=1e-6, atol=1e-8)


def test_no_damping_is_least_squares_and_infinite_damping_the_plain_cut() -> None:
    x, y, weight = numbers(30, 5), numbers(30, 3, seed=1), numbers(3, 5, seed=2)
    ridge = Ridge(weight, 30)
    ridge.add(x, y, held_out=False)
    torch.testing.assert_close(weight.T + ridge.correction(0.0), torch.linalg.lstsq(x, y).solution)
    assert float(ridge.correction(1e12).abs().max()) < 1e-10


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 40), held=st.integers(1, 9), inputs=st.integers(1, 9), seed=st.integers(0, 99))
def test_chosen_is_the_best_on_held_out_rows_and_never_worse_than_the_plain_cut(
    rows: int, held: int, inputs: int, seed: int
) -> None:
    x, y = numbers(rows + held, inputs, seed=seed), numbers(rows + held, 3, seed=seed + 1)
    weight = numbers(3, inputs, seed=seed + 2)
    ridge = Ridge(weight, rows)
    ridge.add(x[:rows], y[:rows], held_out=False)
    ridge.add(x[rows:], y[rows:], held_out=True)

    def error(matrix: Tensor) -> float:
        return float((y[rows:] - x[rows:] @ matrix.T).norm() / y[rows:].norm())

    fit = ridge.fit()
    tried = {d: error(weight + ridge.correction(d).T) for d in DAMPINGS} | {None: error(weight)}
    assert fit.after == pytest.approx(min(tried.values()), rel=1e-6)
    assert tried[fit.damping] == pytest.approx(fit.after, rel=1e-6)
    assert (fit.before, error(fit.weight)) == pytest.approx((tried[None], fit.after), rel=1e-6)


def test_a_gain_that_rounding_eats_is_no_gain() -> None:
    weight = torch.full((2, 3), 1.0, dtype=torch.bfloat16)
    x = numbers(20, 3)
    ridge = Ridge(weight, 16)
    wanted = x @ (weight.double() + 1e-4).T
    ridge.add(x[:16], wanted[:16], held_out=False)
    ridge.add(x[16:], wanted[16:], held_out=True)
    fit = ridge.fit()
    assert fit.damping is None
    assert torch.equal(fit.weight, weight)


def test_nothing_goes_in() -> None:
    ridge = Ridge(numbers(2, 3), 4)
    for held_out in (False, True):
        ridge.add(torch.zeros(4, 3), numbers(4, 2), held_out=held_out)
    assert ridge.fit().damping is None


def seen(model: Any, tokens: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """What a linear of the model multiplies, and what it gives, [tokens, features]."""
    found: list[Tensor] = []
    hook = model.get_submodule(name).register_forward_hook(lambda _, args, out: found.extend((args[0], out)))
    with torch.no_grad():
        model(tokens)
    hook.remove()
    return found[0].flatten(0, 1), found[1].flatten(0, 1)


@pytest.mark.parametrize("biases", [False, True])
def test_equals_hooks_and_normal_equations(biases: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(attention_bias=biases, mlp_bias=biases)
    dense, tokens = model_of(config), tokens_of(config, samples=10)
    monkeypatch.setattr(walk_module, "TOKENS_AT_ONCE", 3 * tokens.shape[1])
    cut = CutWeights(ModelWeights(dense), {"heads": {0: [1]}, "mlp": {0: list(range(9)), 2: [0, 3, 4]}})
    fitted = Reconstructed(cut, tokens)
    ours = checkpoint.load_model(fitted)
    # The same by hand: matrix after matrix, put into the plain cut.
    model = checkpoint.load_model(cut)
    names = [f"model.layers.{layer}.{at}" for layer in (0, 2) for at in ("self_attn.o_proj", "mlp.down_proj")]
    for name in names:
        linear = model.get_submodule(name)
        bias = 0 if linear.bias is None else linear.bias.detach()
        x, y = seen(model, tokens, name)[0].double(), (seen(dense, tokens, name)[1] - bias).double()
        train, held = slice(0, 8 * tokens.shape[1]), slice(8 * tokens.shape[1], None)
        weight = linear.weight.detach().double()
        gram = x[train].T @ x[train]
        best, least = weight, float((y[held] - x[held] @ weight.T).norm())
        before = least
        for damping in DAMPINGS:
            ridge = damping * gram.diagonal().mean() * torch.eye(len(gram))
            found = weight + torch.linalg.solve(gram + ridge, x[train].T @ (y[train] - x[train] @ weight.T)).T
            error = float((y[held] - x[held] @ found.T).norm())
            if error < least:
                best, least = found, error
        with torch.no_grad():
            linear.weight.copy_(best)
        torch.testing.assert_close(ours.get_submodule(name).weight, linear.weight, rtol=1e-3, atol=1e-5)
        record = fitted.record[f"{name}.weight"]
        size = float(y[held].norm())
        assert (record["before"], record["after"]) == pytest.approx((before / size, least / size), rel=1e-4)
    assert list(fitted.record) == [f"{name}.weight" for name in names]


@pytest.mark.parametrize(
    ("case", "kept"),
    [
        *((case, SHAPED) for case in DISTINCT),
        *((case, {**NARROW, **SHALLOW}) for case in DISTINCT),
        ("llama", PLAIN),
    ],
)
def test_every_family_is_nearer_to_the_whole_model_and_never_farther(case: str, kept: Kept) -> None:
    dense = model_of(pico_config(case))
    tokens = tokens_of(dense.config, samples=20, length=9)
    if "query_heads" in kept and case == "llama 3, tied":  # three query heads to each of two KV heads
        kept = {**kept, "query_heads": {2: [0, 2, 3, 4]}}
    cut = CutWeights(ModelWeights(dense), kept)
    fitted = Reconstructed(cut, tokens)
    model = checkpoint.load_model(fitted)
    assert all(entry["after"] <= entry["before"] for entry in fitted.record.values())
    assert any(entry["damping"] is not None for entry in fitted.record.values())
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, cut.tensor(n))}
    assert changed == {n for n, entry in fitted.record.items() if entry["damping"] is not None}


@pytest.mark.parametrize("seed", range(4))
def test_keeping_all_units_leaves_the_model_unchanged(seed: int) -> None:
    dense = model_of(config_of(), seed)
    everything: Kept = {"heads": {1: [0, 1]}, "mlp": {0: list(range(24))}}
    fitted = Reconstructed(CutWeights(ModelWeights(dense), everything), tokens_of(dense.config))
    model = checkpoint.load_model(fitted)
    assert all(torch.equal(p, dense.get_parameter(n)) for n, p in model.named_parameters())
    assert all(entry["damping"] is None and entry["before"] < 1e-6 for entry in fitted.record.values())


def test_read_in_any_order() -> None:
    dense = model_of(config_of())
    cut = CutWeights(ModelWeights(dense), {"mlp": {0: [0, 1, 2], 2: [5, 6]}})
    names = [name for name in cut.names() if name.endswith(("o_proj.weight", "down_proj.weight"))]
    forwards, backwards = (Reconstructed(cut, tokens_of(dense.config, samples=9)) for _ in range(2))
    there = {name: forwards.tensor(name) for name in names}
    back = {name: backwards.tensor(name) for name in reversed(names)}
    assert all(torch.equal(there[name], back[name]) for name in names)


def test_from_the_disk_as_in_memory_and_said_beside(tmp_path: Path) -> None:
    config = config_of(1, num_key_value_heads=4, head_dim=4, intermediate_size=60)
    tokens = tokens_of(config, samples=10)
    model_of(config).save_pretrained(tmp_path / "dense")
    save_file({"input_ids": tokens}, tmp_path / "ids.safetensors")
    calibration = {"source": str(tmp_path / "ids.safetensors"), "samples": 10, "length": 7}
    how: dict[str, Any] = {"ratio": 0.4, "reconstruct": True, "calibration": calibration}
    out = prune(tmp_path / "dense", out=tmp_path / "out", **how)
    there = checkpoint.load_model(out)
    here = prune(model_of(config), tokens=tokens, ratio=0.4, reconstruct=True)
    assert all(torch.equal(p, here.get_parameter(n)) for n, p in there.named_parameters())
    record = json.loads((tmp_path / "out" / "reconstruction.json").read_text())
    assert len(record) == 2 * config.num_hidden_layers
    assert set(record["model.layers.0.mlp.down_proj.weight"]) == {"damping", "before", "after"}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["settings"]["reconstruct"] is True
    assert "reconstruction.json" in manifest["outputs"]
    # Replayed by the plan alone it is another result, and with reconstruction the same.
    plain = prune(tmp_path / "dense", out=tmp_path / "plain", plan=tmp_path / "out" / "plan.json")
    assert not (tmp_path / "plain" / "reconstruction.json").exists()
    again = prune(tmp_path / "dense", out=tmp_path / "again", plan=tmp_path / "out" / "plan.json", **how)
    shards = [(Path(str(d)) / "model.safetensors").read_bytes() for d in (out, plain, again)]
    assert shards[0] == shards[2] != shards[1]


def test_one_sample_cannot_be_held_out() -> None:
    model = model_of(config_of())
    with pytest.raises(DataError, match=r"only one; set prune\.calibration\.samples to 2 or more"):
        prune(model, tokens=tokens_of(model.config, samples=1), reconstruct=True)
