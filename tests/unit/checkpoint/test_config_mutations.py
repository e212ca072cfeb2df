"""Configs changed at random: each is read, and then computes, or it is refused in one line, at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailored_llama import families
from tailored_llama.checkpoint import load_model, open_weights
from tailored_llama.errors import TailorError
from tailored_llama.profiling import measure
from tests.support.hub_configs import HUB
from tests.support.pico import DISTINCT, pico, pico_config, saved, shaped

T = TypeVar("T")
INF, NAN = float("inf"), float("nan")
ROPE = {"rope_theta": 1e4, "rope_type": "default"}
LINEAR = {"type": "linear", "factor": 2.0}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.fixture(scope="module")
def picos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each family, by what is varied."""
    root = tmp_path_factory.mktemp("picos")
    models = {case: pico(case, weights="fresh") for case in DISTINCT}
    models["shaped"] = shaped()
    return {case: saved(model, root / case) for case, model in models.items()}


VALUES = st.sampled_from(
    [
        -1, 0, 1, 2, 3, 6, 7, 8, 24, 40, 2**31, 2**63, 10**400, 4.0, 4.5, 0.5, -0.5, 1e-300, 1e300, NAN, INF,
        True, False, None, "", "4", "float16", "gelu", "silu", [], [4], [None], {}, {"a": 4},
        ["full_attention"] * 3, ["sliding_attention"] * 3, [[4, 2, 20]] * 3, LINEAR, LLAMA3, ROPE,
        {"factor": 3}, {"rope_type": "yarn", "factor": 4.0}, {"rope_type": "dynamic", "factor": 2},
        {"rope_type": "proportional"}, {"full_attention": {}}, {"sliding_attention": 5},
    ]
)  # fmt: skip
KEYS = [
    "head_dim", "rope_theta", "rope_scaling", "rope_parameters", "sliding_window", "layer_types",
    "layer_widths", "num_labels", "id2label", "partial_rotary_factor", "hidden_act", "torch_dtype",
    "unk_token_id", "return_dict", "output_attentions", "attn_implementation", "per_layer_config",
    "quantization_config", "auto_map", "text_config", "tokenizer_model_type", "tailor_allow_config",
    "_sliding_window_pattern", "configuration_files", "to_dict", "default_theta", "kwargs", "twist",
    "ignore_keys_at_rope_validation", "use_bidirectional_attention", "problem_type",
]  # fmt: skip
INNER = ["factor", "type", "rope_type", "rope_theta", "partial_rotary_factor", "attention_factor", "twist"]


@st.composite
def mutations(draw: st.DrawFn, content: dict[str, Any]) -> dict[str, Any]:
    """`content` with up to three keys, of it or of what is inside, changed or removed."""
    changed: dict[str, Any] = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, 3))):
        key, target = draw(st.sampled_from([*changed, *KEYS])), changed
        while isinstance(target.get(key), dict) and draw(st.booleans()):
            target = target[key]
            key = draw(st.sampled_from([*target, *INNER]))
        if draw(st.integers(0, 9)) == 0:
            target.pop(key, None)
        else:
            target[key] = json.loads(json.dumps(draw(VALUES)))
    return changed


def outcome(read: Callable[[], T]) -> T | None:
    """What `read` returns, or None where it refuses; either within a second of this process."""
    refused, found = "", None
    started = time.process_time()
    try:
        found = read()
    except TailorError as error:
        refused = str(error)
    assert time.process_time() - started < 1
    assert "\n" not in refused
    assert len(refused) < 2000
    return found


@pytest.mark.parametrize("case", [*DISTINCT, "shaped"])
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_changed_config_is_read_or_refused_in_one_line(
    picos: dict[str, Path], case: str, data: st.DataObject
) -> None:
    content = pico_config(case).to_dict() if case in DISTINCT else shaped().config.to_dict()
    (picos[case] / "config.json").write_text(json.dumps(data.draw(mutations(content))))
    weights = outcome(lambda: open_weights(picos[case]))
    if weights is not None:  # what is read can be counted, and computes
        assert families.parameter_count(weights.config) > 0
        assert families.mac_count(weights.config) > 0
        load_model(weights)(torch.tensor([[1, 2, 3, 4, 5]]))


@pytest.mark.parametrize("name", HUB)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_changed_config_alone_is_read_or_refused_in_one_line(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(data.draw(mutations(HUB[name]))))
    outcome(lambda: measure([tmp_path], config_only=True))
