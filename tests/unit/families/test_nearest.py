"""An architecture without a table is answered with the nearest family, or with what makes it a hybrid."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoConfig

from tailored_llama.errors import FamilyError
from tailored_llama.families import check_kinds, check_known
from tests.support.pico import pico_config


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cwm", "the nearest is ministral, which has the same attributes: .* write a table"),
        ("qwen3_moe", r"the nearest is qwen3, which does not have decoder_sparse_step = 1, "),
        ("granitemoe", r"the nearest is granite, which does not have .*num_local_experts = 8"),
        ("stablelm", r"the nearest is \w+, which does not have .*use_qkv_bias = False"),
        ("gpt2", "the nearest is .*, but the config has no hidden_size"),
        ("qwen3_5_text", r"layers without attention \(layer_types has linear_attention\), and nothing"),
        ("lfm2", r"layers without attention \(it has conv_L_cache = 3\), and nothing"),
        ("mamba", r"layers without attention \(it has state_size = 16\), and nothing"),
    ],
)
def test_what_is_nearest(name: str, reason: str) -> None:
    content: dict[str, Any] = AutoConfig.for_model(name).to_dict()
    with pytest.raises(FamilyError, match=rf"^here: .*architecture '{name}'; .*{reason}") as raised:
        check_known(content, "here")
    assert len(str(raised.value)) < 600


def test_kinds_that_a_class_cannot_have_in_other_widths_are_refused_by_name() -> None:
    config = pico_config("helium")
    check_kinds(config, ("mlp", "layers"))
    for kind in ("heads", "hidden"):
        with pytest.raises(
            FamilyError, match=f"{kind} of helium cannot be cut: o_proj .*choose from mlp, layers"
        ):
            check_kinds(config, (kind,))
