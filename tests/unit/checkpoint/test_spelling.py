"""config.json has the keys of transformers 5 and those of older readers, and they agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

from tailored_llama import world
from tailored_llama.checkpoint import ModelWeights, load_config, write_checkpoint, write_tokenizer
from tailored_llama.cli import execute
from tailored_llama.errors import CheckpointError
from tests.support.pico import DISTINCT, LLAMA3, LONG, pico, plain, saved

NESTED = {
    "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
}


def written(case: str, directory: Path, **changes: Any) -> dict[str, Any]:
    """The config.json that we write of a pico model."""
    write_checkpoint(ModelWeights(pico(case, weights="fresh", **changes)), directory)
    content: dict[str, Any] = json.loads((directory / "config.json").read_text())
    return content


@pytest.mark.parametrize("case", DISTINCT)
def test_both_spellings_are_written_and_read_back(case: str, tmp_path: Path) -> None:
    content = written(case, tmp_path)
    rope = content["rope_parameters"]
    whole = rope.get("full_attention", rope)
    assert content["rope_theta"] == whole["rope_theta"]
    assert content["dtype"] == content["torch_dtype"] == "float32"
    assert ("rope_scaling" in content) == (whole["rope_type"] != "default")
    assert ("rope_local_base_freq" in content) == (case == "gemma3_text")
    again = load_config(tmp_path)
    assert {k: v for k, v in again.rope_parameters.items() if k != "type"} == rope
    # And each of the two alone says the same.
    for gone in (["rope_parameters"], ["rope_theta", "rope_scaling", "rope_local_base_freq"]):
        kept = {key: value for key, value in content.items() if key not in gone}
        (tmp_path / "config.json").write_text(json.dumps(kept))
        found = AutoConfig.from_pretrained(tmp_path).rope_parameters
        assert {k: v for k, v in found.items() if k != "type"} == rope, gone


def test_how_older_readers_call_a_scaling(tmp_path: Path) -> None:
    content = written("llama 3, tied", tmp_path / "llama3")
    assert content["rope_scaling"] == {k: v for k, v in LLAMA3.items() if k != "rope_theta"}
    content = written("phi3, long", tmp_path / "phi3")
    factors = {key: LONG[key] for key in ("short_factor", "long_factor")}
    assert content["rope_scaling"] == {"type": "longrope", **factors}  # these three, or Phi3Config refuses
    assert (content["partial_rotary_factor"], content["original_max_position_embeddings"]) == (1.0, 32)
    content = written("gemma3_text", tmp_path / "gemma3", rope_parameters=NESTED)
    assert content["rope_scaling"] == {"rope_type": "linear", "factor": 8.0}
    assert (content["rope_theta"], content["rope_local_base_freq"]) == (1e6, 2e4)


def test_what_older_readers_cannot_express_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scaled = {**NESTED, "sliding_attention": NESTED["full_attention"]}
    written("gemma3_text", tmp_path, rope_parameters=scaled)
    assert "transformers before 5 cannot read rope_parameters.sliding_attention" in caplog.text


@pytest.mark.parametrize(
    ("changes", "keys", "values"),
    [
        ({"rope_theta": 5e5}, ("rope_parameters.rope_theta", "rope_theta"), ("10000.0", "500000.0")),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}},
            ("rope_parameters.rope_type", "rope_scaling.rope_type"),
            ("'default'", "'linear'"),
        ),
        ({"rope_parameters": LLAMA3, "rope_scaling": None}, ("rope_type",), ("'llama3'", "'default'")),
        (
            {"rope_parameters": LLAMA3, "rope_scaling": {**LLAMA3, "factor": 8.0}},
            ("rope_parameters.factor", "rope_scaling.factor"),
            ("4.0", "8.0"),
        ),
        (
            {
                "rope_parameters": None,
                "rope_scaling": {"type": "linear", "rope_type": "dynamic", "factor": 2},
            },
            ("rope_scaling.rope_type", "rope_scaling.type"),
            ("'dynamic'", "'linear'"),
        ),
        (
            {"rope_parameters": None, "rope_scaling": {**LLAMA3, "rope_theta": 7.0}},
            ("rope_scaling.rope_theta", "rope_theta"),
            ("7.0", "10000.0"),
        ),
        ({"torch_dtype": "float16"}, ("dtype", "torch_dtype"), ("'float32'", "'float16'")),
    ],
)
def test_spellings_that_contradict_each_other_are_refused(
    changes: dict[str, Any],
    keys: tuple[str, ...],
    values: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_checkpoint(ModelWeights(plain()), tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert execute(["measure", str(tmp_path / "model"), "--config-only"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for part in (str(path), *keys, *values):
        assert part in line


@pytest.mark.parametrize(
    ("kind", "freq"), [("full_attention", "rope_theta"), ("sliding_attention", "rope_local_base_freq")]
)
def test_each_rotation_of_gemma_has_its_own_older_key(kind: str, freq: str, tmp_path: Path) -> None:
    content = written("gemma3_text", tmp_path, rope_parameters=NESTED)
    (tmp_path / "config.json").write_text(json.dumps({**content, freq: 3.0}))
    with pytest.raises(
        CheckpointError, match=rf"rope_parameters\.{kind}\.rope_theta is .* and {freq} is 3\.0"
    ):
        load_config(tmp_path)


def test_the_share_of_a_head_that_is_rotated_has_two_keys(tmp_path: Path) -> None:
    content = written("phi3, partly rotated", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**content, "partial_rotary_factor": 0.25}))
    with pytest.raises(CheckpointError, match=r"partial_rotary_factor is 0\.5 and partial_.* is 0\.25"):
        load_config(tmp_path)


def test_configs_of_the_hub_with_both_names_of_a_scaling_are_read(tmp_path: Path) -> None:
    saved(plain(), tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    del content["rope_parameters"]
    both = {"type": "linear", "rope_type": "linear", "factor": 2}
    path.write_text(json.dumps(content | {"rope_theta": 5e5, "rope_scaling": both}))
    rope = load_config(tmp_path).rope_parameters
    assert (rope["rope_type"], rope["factor"], rope["rope_theta"]) == ("linear", 2, 5e5)


def test_a_tokenizer_in_memory_is_written_for_older_readers_too(tmp_path: Path) -> None:
    raw = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 2, "<x>": 3}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="<unk>", additional_special_tokens=["<x>"]
    )
    write_tokenizer(tokenizer, tmp_path)
    content = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert content["tokenizer_class"] == "PreTrainedTokenizerFast"  # 4.57 knows no TokenizersBackend
    assert content["additional_special_tokens"] == ["<x>"]
    assert "extra_special_tokens" not in content  # which 4.57 expects to be a mapping
    assert "token_type_ids" not in content["model_input_names"]
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("a<x>b c") == tokenizer("a<x>b c")
    assert again.extra_special_tokens == ["<x>"]


def test_the_bundled_model_has_both_spellings() -> None:
    for name, key, value in (
        ("config.json", "rope_theta", 10000.0),
        ("tokenizer_config.json", "tokenizer_class", "PreTrainedTokenizerFast"),
    ):
        assert json.loads((world.model_path() / name).read_text())[key] == value
