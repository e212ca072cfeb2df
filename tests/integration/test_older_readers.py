"""What we write is the same model to transformers 4.57, whose config.json has other keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tailored_llama import world
from tailored_llama.checkpoint import ModelWeights, load_model, load_tokenizer, open_weights, write_checkpoint
from tailored_llama.families import MODEL, Kept
from tailored_llama.stages.prune import CutWeights
from tests.support.older_readers import read_by
from tests.support.pico import family_of, pico

LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 20}
LONG = {"type": "longrope", "short_factor": [1.0, 2.0], "long_factor": [1.0, 4.0]}
WINDOW = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}
GEMMA = {"tie_word_embeddings": True, "sliding_window": 5, "query_pre_attn_scalar": 5}
CASES: dict[str, dict[str, Any]] = {
    "llama": {"rope_theta": 500000.0, "rope_scaling": LLAMA3},
    "llama, tied": {"rope_theta": 20000.0, "rope_scaling": YARN, "tie_word_embeddings": True},
    "llama, linear": {"rope_scaling": {"type": "linear", "factor": 3.0}, "attention_bias": True},
    "llama, dynamic": {"rope_scaling": {"rope_type": "dynamic", "factor": 3.0}, "mlp_bias": True},
    "mistral": {"rope_theta": 1e6, "sliding_window": None},
    "mistral, window": {"rope_theta": 3e5, "sliding_window": 5},
    "qwen2": {"rope_theta": 1e6, **WINDOW},
    "qwen2, yarn": {"rope_theta": 1e6, "rope_scaling": YARN},
    "qwen3": {"rope_theta": 5e6, "attention_bias": True, **WINDOW},
    "phi3": {"rope_theta": 2e4, "partial_rotary_factor": 0.5, "sliding_window": 7},
    "phi3, long": {
        "head_dim": 4, "rope_theta": 3e4, "rope_scaling": LONG, "original_max_position_embeddings": 16,
    },
    "gemma2": {**GEMMA, "rope_theta": 4e4, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "gemma3_text": {
        **GEMMA, "rope_theta": 1e6, "rope_local_base_freq": 2e3, "sliding_window_pattern": 2,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
}  # fmt: skip
ALIKE: Kept = {"heads": {i: [0, 1] for i in range(3)}, "mlp": {i: [1, 2, 5, 19] for i in range(3)}}
ODD: Kept = {"heads": {0: [1], 2: [0, 1]}, "mlp": {1: [0, 7, 19], 2: [3]}}
CUTS: dict[str, Kept] = {
    "plain": ALIKE,
    "narrow": {**ALIKE, "hidden": {MODEL: [*range(17), 23]}},  # a width that 4 heads do not divide
    "shaped": {**ODD, "hidden": {MODEL: [*range(16), 20, 23]}, "layers": {MODEL: [1, 2]}},
}
IGNORED = {"transformers_version", "auto_map", "rope_parameters", "rope_scaling", "_sliding_window_pattern"}
"""Keys that are not of the computation, or that the logits check."""

READ = """
from transformers import AutoModelForCausalLM
from safetensors.torch import load_file, save_file
ids = load_file(sys.argv[1])["ids"]
found = {}
for directory in sys.argv[3:]:
    # Gemma 2's cap on attention scores: the stock class of 4.57 leaves it out unless it is run eagerly.
    how = {"attn_implementation": "eager"} if directory.endswith("gemma2-plain") else {}
    model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True, **how).eval()
    with torch.no_grad():
        found[directory] = model(ids, use_cache=False).logits
    print(json.dumps([type(model).__name__, json.loads(model.config.to_json_string(use_diff=False))]))
save_file(found, sys.argv[2])
"""


def test_every_family_and_form_is_the_same_model(older: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    ids = torch.randint(3, 40, (2, 50), generator=torch.Generator().manual_seed(1))
    save_file({"ids": ids}, tmp_path / "ids.safetensors")
    directories = []
    for case, own in CASES.items():
        weights = ModelWeights(pico(family_of(case), pad_token_id=2, **own))
        for form, kept in CUTS.items():
            directories.append(tmp_path / f"{case}-{form}".replace(", ", "-"))
            write_checkpoint(CutWeights(weights, kept), directories[-1])
    logits = tmp_path / "logits.safetensors"
    read = read_by(older, READ, tmp_path, tmp_path / "ids.safetensors", logits, *directories)
    theirs = load_file(logits)
    names = set()
    for directory, (name, config) in zip(directories, read, strict=True):
        model = load_model(directory)
        with torch.no_grad():
            ours = model(ids, use_cache=False).logits
        assert type(model).__name__ == name
        names.add(name)
        difference = float((theirs[str(directory)] - ours).abs().max() / ours.abs().max())
        assert difference < 1e-4, f"{directory.name}: logits differ by {difference:.2g} of their size"
        own = json.loads(model.config.to_json_string(use_diff=False))
        for key in own.keys() & config.keys() - IGNORED:
            assert config[key] == own[key], f"{directory.name}: {key}"
    assert len(names) == 14, names  # a stock and a shaped class of each family


HEADS = """
from transformers import AutoModel, AutoModelForSequenceClassification
from safetensors.torch import load_file, save_file
ids = load_file(sys.argv[1])["ids"]
found = {}
for directory in sys.argv[3:]:
    backbone, report = AutoModel.from_pretrained(directory, trust_remote_code=True, output_loading_info=True)
    with torch.no_grad():
        found[directory] = backbone.eval()(ids).last_hidden_state
    classifier, heads = AutoModelForSequenceClassification.from_pretrained(
        directory, trust_remote_code=True, num_labels=3, output_loading_info=True
    )
    shape = list(classifier(ids, attention_mask=torch.ones_like(ids)).logits.shape)
    missing = [sorted(each["missing_keys"]) for each in (report, heads)]
    print(json.dumps([type(backbone).__name__, type(classifier).__name__, shape, *missing]))
save_file(found, sys.argv[2])
"""


def test_shaped_backbones_and_classifiers(older: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    ids = torch.randint(3, 40, (2, 20), generator=torch.Generator().manual_seed(1))
    save_file({"ids": ids}, tmp_path / "ids.safetensors")
    cases = ["llama", "mistral, window", "qwen2", "qwen3", "phi3", "gemma2"]
    directories = [tmp_path / case.partition(",")[0] for case in cases]
    for case, directory in zip(cases, directories, strict=True):
        write_checkpoint(
            CutWeights(ModelWeights(pico(family_of(case), pad_token_id=2, **CASES[case])), CUTS["shaped"]),
            directory,
        )
    out = tmp_path / "hidden.safetensors"
    read = read_by(older, HEADS, tmp_path, tmp_path / "ids.safetensors", out, *directories)
    theirs = load_file(out)
    for directory, (backbone, classifier, shape, lost, new) in zip(directories, read, strict=True):
        with torch.no_grad():
            ours = load_model(directory)(ids, output_hidden_states=True).hidden_states[-1]
        assert (theirs[str(directory)] - ours).abs().max() < 1e-4 * ours.abs().max(), directory.name
        assert backbone.startswith("Shaped")
        assert classifier.startswith("Shaped")
        assert (shape, lost, new) == ([2, 3], [], ["score.weight"])


TEXTS = ["Who felled the tree? ", "a<s>b</s>", " two  spaces\n\u00fc"]
SPEAK = """
from transformers import AutoModelForCausalLM, AutoTokenizer
directory, texts = sys.argv[1], json.loads(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(directory)
print(json.dumps(tokenizer(texts)["input_ids"]))
model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True)
print(json.dumps(model.generate(**tokenizer(texts[0], return_tensors="pt"), max_new_tokens=12)[0].tolist()))
print(json.dumps(model.generation_config.to_dict()))
"""


def test_tokens_and_generated_text_of_an_exported_model(older: Path, tmp_path: Path) -> None:
    base = open_weights("world")
    kept: Kept = {"mlp": {0: list(range(300)), 2: list(range(100, 500))}}
    write_checkpoint(CutWeights(base, kept), tmp_path / "cut", copy_from=world.model_path())
    model, tokenizer = load_model(tmp_path / "cut"), load_tokenizer(tmp_path / "cut")
    prompt = tokenizer(TEXTS[0], return_tensors="pt")
    ids, text, generation = read_by(older, SPEAK, tmp_path, tmp_path / "cut", json.dumps(TEXTS))
    assert ids == tokenizer(TEXTS)["input_ids"]
    assert text == model.generate(**prompt, max_new_tokens=12)[0].tolist()
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert generation[key] == getattr(model.generation_config, key)
