"""Every family, on random pico models of its real classes: counted, cut, walked back, saved and loaded."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from tailored_llama import checkpoint, families
from tailored_llama.checkpoint import ModelWeights
from tailored_llama.errors import FamilyError
from tailored_llama.families import MODEL, Kept, LayerWidths
from tailored_llama.stages.prune import CutWeights, prune
from tailored_llama.stages.prune.walk import Walk
from tests.support.double import InDouble, close
from tests.support.masking import masked, some_units
from tests.support.pico import DISTINCT, OWN, SIZES, family_of, model_of, pico_config, tokens_of

PLAIN: Kept = {"heads": {i: [0, 1] for i in range(3)}, "mlp": {i: [1, 2, 5, 19] for i in range(3)}}
"""All layers alike: 4 heads, which divide the residual width of 24, and 4 channels."""
SHAPED: Kept = {"heads": {0: [1], 2: [0, 1]}, "mlp": {1: [0, 7, 19], 2: [3]}}
ALL: Kept = {
    **SHAPED, "query_heads": {1: [1, 2, 4]}, "hidden": {MODEL: [*range(16), 20, 23]},
    "layers": {MODEL: [1, 2]},
}  # fmt: skip
"""Of every kind some; the query heads are those of SIZES, two to each of three KV heads."""
cases = pytest.mark.parametrize("case", list(OWN))


def cuttable(case: str, kept: Kept) -> Kept:
    """The part of a cut that the family of a case has."""
    fixed = families.family_named(family_of(case)).fixed
    return {kind: units for kind, units in kept.items() if kind not in fixed}


def logits(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(tokens_of(model.config, length=9)).logits
    return found


@cases
def test_parameters_are_those_of_the_model(case: str) -> None:
    config = pico_config(case)
    model = model_of(config)
    assert families.check_config(config).name == family_of(case)
    assert families.parameter_count(config) == sum(p.numel() for p in model.parameters())
    for kept in (PLAIN, SHAPED):
        cut = checkpoint.load_model(CutWeights(ModelWeights(model), cuttable(case, kept)))
        assert families.parameter_count(cut.config) == sum(p.numel() for p in cut.parameters())


@cases
@settings(max_examples=4, deadline=None)
@given(data=st.data())
@InDouble()
def test_cut_equals_masked(case: str, data: st.DataObject) -> None:
    model = model_of(pico_config(case)).double()
    kept = some_units(model.config, data.draw)
    cut = checkpoint.load_model(CutWeights(ModelWeights(model), kept))
    cut.set_attn_implementation("eager")
    close(logits(cut), logits(masked(model, kept)))


@cases
@InDouble()
def test_walk_equals_the_whole_models_backward(case: str) -> None:
    dense = model_of(pico_config(case)).double()
    for kept in ({}, cuttable(case, SHAPED)) if case in DISTINCT else (cuttable(case, SHAPED),):
        model = checkpoint.load_model(CutWeights(ModelWeights(dense), kept)) if kept else dense
        model.set_attn_implementation("eager")
        tokens = tokens_of(model.config, length=9)
        scored = [s.tensor for group in families.groups(model.config) for s in group.slices if s.scored]
        found: dict[str, Tensor] = {}
        walk = Walk(ModelWeights(model), tokens, scored)
        loss = walk.gradients(lambda name, weight, gradient, squares, to=found: to.update({name: gradient}))
        expected = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        assert loss == pytest.approx(expected.item(), rel=1e-12)
        names_found = list(found)
        gradients = torch.autograd.grad(expected, [model.get_parameter(name) for name in names_found])
        assert set(found) == set(scored)
        for name, gradient in zip(names_found, gradients, strict=True):
            close(found[name], gradient)


@InDouble()
@pytest.mark.parametrize(
    ("case", "kept"),
    [*((case, PLAIN) for case in OWN), *((case, ALL) for case in OWN), ("llama", SHAPED), ("phi3", SHAPED)],
)
def test_saved_and_loaded_it_is_the_same(case: str, kept: Kept, tmp_path: Path) -> None:
    model = model_of(pico_config(case)).double()
    if kept is ALL and case == "llama 3, tied":  # three query heads to each of two KV heads
        kept = {**ALL, "query_heads": {1: [1, 2, 3, 4]}}
    plain, kept = kept is PLAIN, cuttable(case, kept)
    cut = CutWeights(ModelWeights(model), kept)
    checkpoint.write_checkpoint(cut, tmp_path / "cut")
    kind = json.loads((tmp_path / "cut" / "config.json").read_text())["model_type"]
    # What a stock class cannot say: the counts that phi3 holds its rotation factors against.
    shaped = not plain or case == "phi3, long"
    expected = "llama" if case == "mistral" and shaped else family_of(case)
    assert kind == (f"shaped_{expected}" if shaped else expected)
    here, there = checkpoint.load_model(cut), checkpoint.load_model(tmp_path / "cut")
    assert torch.equal(logits(here), logits(there))
    again = checkpoint.open_weights(tmp_path / "cut")
    assert families.widths(again.config) == families.widths(cut.config)
    assert families.check_config(again.config)
    there.set_attn_implementation("eager")
    close(logits(there), logits(masked(model, kept)))
    # And as transformers itself writes and reads it, once more cut.
    there.save_pretrained(tmp_path / "saved")
    twice = CutWeights(checkpoint.Checkpoint(tmp_path / "saved"), {"mlp": {0: [1]}})
    assert families.parameter_count(twice.config) < families.parameter_count(cut.config)
    assert logits(checkpoint.load_model(twice)).isfinite().all()


@pytest.mark.parametrize("case", [case for case in OWN if case == family_of(case)])
def test_shaped_generates_with_a_cache_as_without(case: str) -> None:
    kept = cuttable(case, SHAPED)
    model = checkpoint.load_model(CutWeights(ModelWeights(model_of(pico_config(case))), kept))
    prompt = tokens_of(model.config, 2, 6)
    how = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    assert torch.equal(model.generate(prompt, **how), model.generate(prompt, **how, use_cache=False))
    twin = copy.deepcopy(model)
    assert torch.equal(logits(twin), logits(model))


def test_phi3_as_on_the_hub_is_the_stock_class(tmp_path: Path) -> None:
    """Its configs name code that came with the checkpoint; none is run, as the class is the stock one."""
    model = model_of(pico_config("phi3"))
    model.save_pretrained(tmp_path / "hub")
    path = tmp_path / "hub" / "config.json"
    hub = json.loads(path.read_text())
    config, code = "configuration_phi3.Phi3Config", "modeling_phi3.Phi3ForCausalLM"
    classes = {"AutoConfig": config, "AutoModelForCausalLM": code}
    path.write_text(json.dumps({**hub, "auto_map": classes}))
    (tmp_path / "hub" / "modeling_phi3.py").write_text("raise SystemExit('their code ran')")
    cut = prune(tmp_path / "hub", out=tmp_path / "cut", ratio=0.2, criterion="l1", alike=True)
    assert "auto_map" not in json.loads((tmp_path / "cut" / "config.json").read_text())
    assert logits(checkpoint.load_model(cut)).isfinite().all()
    for changed in ({**classes, "AutoModelForCausalLM": "modeling_phi3.Phi3Other"}, "theirs"):
        path.write_text(json.dumps({**hub, "auto_map": changed}))
        with pytest.raises(FamilyError, match="auto_map requires code that came with the checkpoint"):
            checkpoint.open_weights(tmp_path / "hub")
    path.write_text(json.dumps({**hub, "auto_map": classes, "architectures": ["Phi3SmallForCausalLM"]}))
    with pytest.raises(FamilyError, match="auto_map requires code that came with the checkpoint"):
        checkpoint.open_weights(tmp_path / "hub")


@pytest.mark.parametrize("case", ["gemma2", "gemma3_text"])
def test_heads_that_do_not_divide_make_gemmas_shaped_form(case: str) -> None:
    config = pico_config(case, hidden_size=16, num_attention_heads=4, num_key_value_heads=4)
    assert families.with_widths(config, [LayerWidths(2, 2, 9)] * 3).model_type == family_of(case)
    shaped = families.with_widths(config, [LayerWidths(3, 3, 9)] * 3)
    assert shaped.model_type == f"shaped_{family_of(case)}"


@pytest.mark.parametrize("case", ["mistral with a window", "qwen2 with windows", "qwen3", "phi3"])
def test_heads_that_do_not_divide_stay_plain(case: str) -> None:
    config = families.with_widths(pico_config(case, hidden_size=16), [LayerWidths(3, 3, 9)] * 3)
    assert (config.model_type, config.head_dim) == (family_of(case), 8)
    assert config.sliding_window == pico_config(case).sliding_window


def test_multiply_accumulates_written_out() -> None:
    """One layer, ten tokens: what each family's layers do differently."""
    q, d, s, h, k, i = 10, 24, 8, 6, 3, 20
    ends = q * SIZES["vocab_size"] * d + 2 * q * d
    layer = 2 * q * d * s * (h + k) + h * q * q * (2 * s + 1) + 3 * q * d * i + q * i
    rotated = dict.fromkeys(OWN, 2 * q * s * (h + k)) | {"phi3, partly rotated": q * s * (h + k)}
    for case in ("llama", "qwen2", "phi3", "phi3, partly rotated", "qwen3", "gemma2", "gemma3_text"):
        norms = 8 * q * d if case.startswith("gemma") else 4 * q * d
        on_heads = 2 * q * s * (h + k) if case in ("qwen3", "gemma3_text") else 0
        found = families.mac_count(pico_config(case, num_hidden_layers=1), q)
        assert found == ends + layer + rotated[case] + norms + on_heads, case


def test_all_are_listed() -> None:
    described = families.describe()
    assert set(described) == {family_of(case) for case in OWN}
    assert described.pop("helium") == ["mlp", "layers"]
    assert all(kinds == ["heads", "query_heads", "mlp", "hidden", "layers"] for kinds in described.values())


def test_attributes_that_say_nothing_as_long_as_they_are_off() -> None:
    silent = {"attention_bias": False, "mlp_bias": False}
    assert families.check_config(pico_config("mistral", **silent))
    first = pico_config("phi3", **silent, lm_head_bias=False, full_attn_mod=1, interpolate_factor=1)
    assert families.check_config(first)
    with pytest.raises(FamilyError, match="lm_head_bias"):
        families.check_config(pico_config("phi3", lm_head_bias=True))


@pytest.mark.parametrize(
    ("case", "change"),
    [("gemma2", {"use_bidirectional_attention": True}), ("mistral", {"layer_types": ["full_attention"] * 3}),
     ("qwen2", {"attention_bias": True}), ("phi3", {"mlp_bias": True})],
)  # fmt: skip
def test_what_a_family_does_not_know_is_refused_by_name(case: str, change: dict[str, Any]) -> None:
    with pytest.raises(FamilyError, match=next(iter(change))):
        families.check_config(pico_config(case, **change))
