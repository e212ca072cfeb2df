"""A shaped checkpoint loads by every Auto class that has a stock class for its family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from tailored_llama import shaped
from tailored_llama.checkpoint import ModelWeights, write_checkpoint
from tailored_llama.families import LayerWidths, with_widths
from tests.support.masking import writers
from tests.support.pico import OWN, pico, pico_config, saved, tokens_of

WIDTHS = [LayerWidths(2, 1, 5), LayerWidths(6, 3, 9), LayerWidths(3, 3, 4)]
STOCK_NAMES = ["llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3_text"]


@pytest.fixture(params=["llama", "mistral with a window", "phi3", "gemma3_text"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_checkpoint(
        ModelWeights(pico(request.param, widths=WIDTHS, pad_token_id=2, weights="fresh")), tmp_path / "shaped"
    )
    return tmp_path / "shaped"


def test_the_backbone_computes_the_hidden_states_of_the_whole_model(written: Path) -> None:
    whole, backbone = AutoModelForCausalLM.from_pretrained(written), AutoModel.from_pretrained(written)
    ids = tokens_of(whole.config, length=9)
    with torch.no_grad():
        wanted = whole(ids, output_hidden_states=True).hidden_states[-1]
        assert torch.equal(backbone(ids).last_hidden_state, wanted)
    assert type(backbone).__name__.startswith("Shaped")


def test_a_classifier_is_trained_saved_and_loaded(written: Path, tmp_path: Path) -> None:
    classifier = AutoModelForSequenceClassification.from_pretrained(written, num_labels=3)
    whole = AutoModelForCausalLM.from_pretrained(written)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(classifier.model.state_dict()[name], tensor), name
    ids = tokens_of(whole.config, length=9)
    found = classifier(ids, labels=torch.zeros(len(ids), dtype=torch.long))
    found.loss.backward()
    assert found.logits.shape == (len(ids), 3)
    assert all(p.grad is not None for p in classifier.model.layers.parameters())
    again = AutoModelForSequenceClassification.from_pretrained(saved(classifier, tmp_path / "again"))
    with torch.no_grad():
        assert torch.equal(again.eval()(ids).logits, classifier.eval()(ids).logits)


@pytest.mark.parametrize("family", STOCK_NAMES)
def test_every_stock_class_has_a_shaped_one(family: str) -> None:
    config = with_widths(pico_config(family if family in OWN else "qwen3", pad_token_id=2), WIDTHS)
    names = shaped.auto_map(config)
    assert {"AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoModelForSequenceClassification"} <= set(
        names
    )
    for auto, name in names.items():
        assert getattr(shaped, name.removeprefix("shaped.")) is not None
        if auto != "AutoConfig":
            model = getattr(transformers, auto).from_config(config)
            assert [writers(layer)[1].in_features for layer in getattr(model, "model", model).layers] == [
                width.mlp for width in WIDTHS
            ]


def test_whatever_is_saved_names_every_class(tmp_path: Path) -> None:
    model = pico("llama", widths=WIDTHS, weights="fresh")
    write_checkpoint(ModelWeights(model), tmp_path / "ours")
    for kind in (AutoConfig, AutoModel, AutoModelForSequenceClassification):
        loaded = kind.from_pretrained(tmp_path / "ours")
        loaded.save_pretrained(tmp_path / kind.__name__)
        for place in ("ours", kind.__name__):
            content = json.loads((tmp_path / place / "config.json").read_text())
            assert content["auto_map"] == shaped.auto_map(model.config)
            assert (tmp_path / place / "shaped.py").is_file()
