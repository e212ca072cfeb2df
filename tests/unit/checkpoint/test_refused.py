"""A checkpoint is what was listed, checked and digested: no code, no other files, no adapter on top."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tailored_llama.checkpoint import digest_directory, load_model, load_tokenizer, open_weights
from tailored_llama.checkpoint.write import copy_extras
from tailored_llama.errors import CheckpointError
from tests.support.pico import equal_bits, plain, saved
from tests.support.tokenizers import tokenizer

CODE = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\nclass Own:\n    pass\n"
MAP = {"AutoTokenizer": ["own.OwnTokenizer", None]}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = saved(plain(vocab_size=300), tmp_path / "model")
    tokenizer().save_pretrained(directory)
    return directory


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusal(read: Callable[[Path], object], directory: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(directory)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "named", [MAP, ["own.OwnTokenizer", "own.OwnTokenizerFast"], {"AutoTokenizer": "own.A"}]
)
def test_code_of_a_tokenizer_is_never_run_nor_asked_about(
    model: Path, named: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "own.py").write_text(CODE)
    edit(model / "tokenizer_config.json", auto_map=named, tokenizer_class="OwnTokenizer")
    (model / "config.json").unlink()  # by the model's type transformers would take a class of its own
    answers = io.StringIO("y\ny\n")
    monkeypatch.setattr("sys.stdin", answers)
    refused = refusal(load_tokenizer, model)
    assert "tokenizer_config.json: auto_map names code that came with the checkpoint" in refused
    assert answers.tell() == 0, "a question was answered"
    assert "[y/N]" not in "".join(capsys.readouterr())
    assert not (model / "ran").exists()


def test_a_stock_class_may_be_named_as_code(model: Path) -> None:
    edit(model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_x.Qwen2Tokenizer", None]})
    assert load_tokenizer(model)("yes")["input_ids"] == tokenizer()("yes")["input_ids"]


def test_files_in_place_of_others_are_refused(model: Path) -> None:
    config = model / "config.json"
    good = config.read_text()
    (model / "config.5.0.0.json").write_text(good)
    edit(config, configuration_files=["config.5.0.0.json"])
    for read in (open_weights, load_tokenizer):
        assert "config.json: configuration_files names other files" in refusal(read, model)
    config.write_text(good)
    edit(model / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.5.0.0.json"])
    assert "tokenizer_config.json: fast_tokenizer_files names other files" in refusal(load_tokenizer, model)


def test_an_adapter_beside_the_weights_is_not_applied(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    adapted = get_peft_model(
        plain(vocab_size=300), LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")
    )
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.ones_(parameter)
    adapted.save_pretrained(model)
    assert (model / "adapter_config.json").is_file()
    loaded = load_model(model)
    assert equal_bits(loaded, plain(vocab_size=300))
    assert not any("lora" in name for name, _ in loaded.named_modules())
    assert "the adapter next to the weights (adapter_config.json) is not applied" in caplog.text


@pytest.mark.parametrize("kernel", ["eager", "flash_attention_2", "someone/kernel"])
@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_the_config_does_not_choose_how_attention_is_computed(model: Path, key: str, kernel: str) -> None:
    edit(model / "config.json", **{key: kernel})
    loaded = load_model(model)
    assert loaded.config._attn_implementation == "sdpa"
    with torch.no_grad():
        assert loaded(torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, 300)


def test_the_config_does_not_choose_what_is_returned(model: Path) -> None:
    edit(model / "config.json", return_dict=False, output_hidden_states=True, output_attentions=True)
    with torch.no_grad():
        found = load_model(model)(torch.tensor([[1, 2, 3]]))
    assert found.logits.shape == (1, 3, 300)
    assert found.hidden_states is None
    assert found.attentions is None


def test_generation_settings_are_read_and_code_for_them_is_not(model: Path) -> None:
    (model / "custom_generate").mkdir()
    (model / "custom_generate" / "generate.py").write_text("raise SystemExit('their code was run')\n")
    (model / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [1, 7], "custom_generate": "."})
    )
    assert load_model(model).generation_config.eos_token_id == [1, 7]
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": "one"}))
    assert "eos_token_id is 'one'" in refusal(load_model, model)
    (model / "generation_config.json").write_text("[")
    assert "generation_config.json: not valid JSON" in refusal(load_model, model)


def test_the_digest_is_of_all_that_is_read_and_of_nothing_else(model: Path) -> None:
    (model / "model.safetensors").rename(model / "weights.safetensors")
    before = digest_directory(model)
    (model / "README.md").write_text("hello")
    (model / "own.py").write_text(CODE)
    assert digest_directory(model) == before
    for name in ("weights.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        path = model / name
        kept = path.read_bytes()
        path.write_bytes(kept + b" ")
        assert digest_directory(model) != before, name
        path.write_bytes(kept)
    assert digest_directory(model) == before
    (model / "chat_template.jinja").symlink_to("nowhere")
    assert "chat_template.jinja: is a link to a file that does not exist" in refusal(digest_directory, model)


def test_a_link_does_not_carry_another_file_into_a_copy(model: Path, tmp_path: Path) -> None:
    secret = tmp_path / "id_secret"
    secret.write_text("secret")
    (tmp_path / "out").mkdir()
    (model / "LICENSE").symlink_to(secret)
    assert "LICENSE: is a link to id_secret" in refusal(lambda d: copy_extras(d, tmp_path / "out"), model)
    (model / "LICENSE").unlink()
    farm = tmp_path / "farm"
    farm.mkdir()
    for path in model.iterdir():
        (farm / path.name).symlink_to(path)
    copy_extras(farm, tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()
