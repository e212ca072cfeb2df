"""Export: what leaves the house stands on its own, and an adapter only goes where it belongs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from peft import PeftModel

from tailored_llama import export
from tailored_llama.checkpoint import load_model, write_json
from tailored_llama.errors import CheckpointError, OutputError, TailorError, TuneError
from tailored_llama.results import Majority, MajorityFigures, results_of
from tests.support.exported import cut, tuned
from tests.support.pico import equal_bits, plain, saved, shaped, tokens
from tests.support.results import figures, row


def front_matter(out: Path) -> dict[str, Any]:
    data: dict[str, Any] = ModelCard((out / "README.md").read_text()).data.to_dict()
    return data


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain model on the disk."""
    return saved(plain(), tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    """An adapter of `base`."""
    return tuned(base, base.parent / "tuned")


@pytest.mark.parametrize("form", [plain, shaped])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_adapter_is_folded_in_and_the_base_keeps_form_and_precision(
    tmp_path: Path, form: Any, dtype: torch.dtype
) -> None:
    base = saved(form().to(dtype), tmp_path / "base")
    adapter = tuned(base, tmp_path / "tuned")
    merged = load_model(export(base, adapter=adapter, out=tmp_path / "out"))
    assert type(merged) is type(load_model(base))
    assert merged.dtype == dtype
    # Added up in fp32 and rounded once: to the bit what peft makes of the base in fp32.
    with_adapter = PeftModel.from_pretrained(load_model(base).float(), str(adapter / "adapter"))
    assert equal_bits(merged, with_adapter.merge_and_unload().to(dtype))
    if dtype == torch.float32:
        unmerged = PeftModel.from_pretrained(load_model(base), str(adapter / "adapter"))
        assert (merged(tokens(2, 9)).logits - unmerged(tokens(2, 9)).logits).abs().max() < 1e-4
        assert (merged(tokens(2, 9)).logits - load_model(base)(tokens(2, 9)).logits).abs().max() > 1e-2


def test_without_an_adapter_it_is_the_model_itself(tmp_path: Path) -> None:
    base = saved(shaped(tie_word_embeddings=True), tmp_path / "base")
    (base / "generation_config.json").write_text('{"bos_token_id": 1 }')
    out = export(base, out=tmp_path / "out")
    assert equal_bits(load_model(out), load_model(base))
    files = "README.md config.json generation_config.json manifest.json model.safetensors shaped.py"
    assert {path.name for path in out.iterdir()} == set(files.split())
    assert (out / "generation_config.json").read_text() == '{"bos_token_id": 1 }'


def test_a_model_in_memory_is_exported_and_left_as_it_was(tmp_path: Path) -> None:
    model, reference = plain().to(torch.bfloat16), plain().to(torch.bfloat16)
    adapter = tuned(saved(model, tmp_path / "base"), tmp_path / "tuned")
    from_memory = load_model(export(model, adapter=adapter, out=tmp_path / "memory"))
    from_disk = load_model(export(tmp_path / "base", adapter=adapter, out=tmp_path / "disk"))
    assert equal_bits(from_memory, from_disk)
    assert equal_bits(model, reference)


def test_an_adapter_of_another_base_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    adapter = shutil.copytree(adapter, tmp_path / "tuned")
    other = load_model(base)
    other.model.norm.weight.data[0] += 1e-3
    saved(other, tmp_path / "other")
    with pytest.raises(TuneError, match=r"was tuned on base \w{8}, this base is \w{8}; name the base"):
        export(tmp_path / "other", adapter=adapter, out=tmp_path / "out")
    (adapter / "adapter" / "base.json").unlink()
    with pytest.raises(TuneError, match="does not record its base"):
        export(base, adapter=adapter, out=tmp_path / "out")
    with pytest.raises(TuneError, match=r"holds no adapter_config\.json"):
        export(base, adapter=tmp_path / "other", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_adapter_is_not_a_model(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="contains only an adapter; name its base as the model"):
        export(adapter, out=tmp_path / "out")


def test_a_damaged_adapter_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    adapter = shutil.copytree(adapter, tmp_path / "tuned")
    file = adapter / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(TuneError, match="does not load"):
        export(base, adapter=adapter, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_formats_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        OutputError, match=r"unknown export format 'onx' \(did you mean 'onnx'\?\); known: gguf, hf"
    ):
        export(plain(), to="onx", out=tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_a_finished_export_is_not_made_again_and_a_changed_one_is(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    out = export(base, out=tmp_path / "out")
    made = (out / "manifest.json").stat().st_mtime_ns
    assert export(base, out=out) == out
    assert (out / "manifest.json").stat().st_mtime_ns == made
    export(base, adapter=adapter, out=out)
    assert (out / "manifest.json").stat().st_mtime_ns != made
    assert not equal_bits(load_model(out), load_model(base))


def test_an_output_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(TailorError, match=r"contains other files \(x\.txt\): name an empty or new directory"):
        export(plain(), out=tmp_path)


def test_the_card_has_the_baseline_and_the_shares(tmp_path: Path) -> None:
    rows = [
        row("dense", {"boolq": 0.4, "piqa": 0.9}), row("dense_tuned", {"boolq": 0.7, "piqa": 0.9}),
        row("tuned", {"boolq": 0.6, "piqa": 0.8}),
    ]  # fmt: skip
    known = Majority(
        tasks={
            "boolq": MajorityFigures(main=0.62, label="yes", n=9),
            "piqa": MajorityFigures(main=0.5, label=None, n=9),
        },
        mean=0.56,
    )  # fmt: skip
    text = (
        export(plain(), out=tmp_path / "m", results=results_of(rows, {}, {}, majority=known)) / "README.md"
    ).read_text()
    assert (
        "| boolq | piqa | mean | mean without | recovery | above chance | above chance, of dense, tuned |"
        in text
    )
    assert "| tuned |  | same | 1,000 | 2,000 | 60.0 | 80.0 | 70.0 | 80.0 | 107.7 | 133.3 | 66.7 |" in text
    assert "| majority |  |  |  |  | 62.0 | 50.0 | 56.0 |  |  |  |  |" in text
    assert "in the wording same: without boolq, where the dense model is below chance." in text
    assert "Majority: the commonest label of the shots" in text


@pytest.mark.usefixtures("undrawn")
def test_the_card_says_what_it_was_what_was_cut_and_how_it_scores(tmp_path: Path) -> None:
    base = cut(tmp_path, shaped(), "someone/some-llama")
    row = {
        "prompt": "same",
        "chance": 0.5,
        "params": 15_000,
        "macs": 9_000,
        "peak_memory": 2**29,
        "perplexity": {"wikitext2": {"perplexity": 8.25, "length": 128}},
        "tasks": {"boolq": figures(0.8125)},
        "seconds": 1.0,
    }
    results = {
        "rows": [
            {**row, "stage": "dense", "task_tuned": None, "mean": 0.8125, "recovery": 1.0},
            {
                **row,
                "stage": "tuned",
                "task_tuned": "boolq",
                "mean": 0.75,
                "recovery": 0.923,
                "recovery_above_chance": 0.8,
            },
        ],
        "recipe": {},
    }
    write_json(tmp_path / "results.json", results)
    adapter = tuned(base, tmp_path / "tuned")
    out = export(base, adapter=adapter, out=tmp_path / "small-llama", results=tmp_path / "results.json")
    text = (out / "README.md").read_text()
    for output in (
        "# small-llama", "`someone/some-llama`, cut from 20,000 to 15,000 parameters (25.0% gone)",
        "by the criterion taylor", "tuned to the task boolq on 3 examples", "| 1 | 2 | 1 | 5 |",
        "wording `cloze`", "Is water wet? Answer: yes", "chance: boolq 50.0", "trust_remote_code=True",
        "| tuned | boolq | same | 15,000 | 9,000 | 81.2 | 75.0 | 92.3 | 80.0 | 8.25 |",
        "above chance | perplexity, wikitext2 |", "## What was cut", "## Reproduction",
    ):  # fmt: skip
        assert output in text, output
    assert front_matter(out) == {
        "base_model": "someone/some-llama", "library_name": "transformers", "pipeline_tag": "text-generation",
        "tags": ["pruned", "tailored-llama"],
    }  # fmt: skip


@pytest.mark.usefixtures("undrawn")
def test_the_licence_of_the_base_is_carried_over(tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.mkdir()
    terms = "license: other\nlicense_name: llama-licence\nlicense_link: LICENSE\n"
    (original / "README.md").write_text(f"---\n{terms}model_name: x\n---\n# Base\n")
    base = cut(tmp_path, plain(), str(original))
    (base / "LICENSE").write_text("the terms")
    out = export(base, out=tmp_path / "out")
    carried = front_matter(out)
    assert carried["license"] == "other"
    assert carried["license_name"] == "llama-licence"
    assert carried["license_link"] == "LICENSE"
    assert (out / "LICENSE").read_text() == "the terms"
    # Where the base lay on this disk is nobody's business.
    assert "base_model" not in carried
    assert str(tmp_path) not in (out / "README.md").read_text()


@pytest.mark.parametrize("base_card", ["# no front matter", "---\nlicense: [\n---\n", ""])
def test_a_base_card_without_a_licence_is_no_obstacle(tmp_path: Path, base_card: str) -> None:
    base = saved(plain(), tmp_path / "base")
    (base / "README.md").write_text(base_card)
    out = export(base, out=tmp_path / "out")
    assert "license" not in front_matter(out)
    assert json.loads((out / "manifest.json").read_text())["stage"] == "export"
