"""Checkpoints as others meet them: in processes of their own, with and without this package."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from tailored_llama.checkpoint import load_model, load_tokenizer, open_weights, write_checkpoint
from tailored_llama.families import with_widths
from tailored_llama.families.table import LayerWidths
from tests.support.pico import model_of, pico

UNAVAILABLE = """
import sys
class Unavailable:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tailored_llama":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Unavailable())
try:
    import tailored_llama
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("tailored_llama could be imported")
"""
LOGITS = """
import torch
from transformers import AutoModelForCausalLM, AutoConfig, AutoTokenizer
def logits(model):
    return [round(x, 5) for x in model(torch.arange(3, 11)[None]).logits[0, -1].tolist()]
"""


def in_a_process(code: str, tmp_path: Path, *arguments: object) -> list[str]:
    """The lines that `code` prints in a fresh interpreter, away from the checkout."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def logits(directory: Path) -> list[float]:
    with torch.inference_mode():
        last = load_model(directory)(torch.arange(3, 11)[None]).logits[0, -1]
    return [round(x, 5) for x in last.tolist()]


@pytest.fixture(scope="module")
def base(shared: Path) -> Path:
    return shared / "models" / "stories260K"


def reshaped(base: Path, out: Path, heads: list[int], shard: int = 2**30) -> Path:
    """stories260K in other widths, with random weights, as a checkpoint of ours."""
    config = open_weights(base).config
    config = with_widths(config, [LayerWidths(2 * kv, kv, 40 + kv) for kv in heads])
    write_checkpoint(
        open_weights(model_of(config, attention=None)), out, copy_from=base, max_shard_bytes=shard
    )
    return out


@pytest.fixture(scope="module")
def shaped(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reshaped(base, tmp_path_factory.mktemp("forms") / "shaped", [4, 1, 2, 3, 4])


def test_shaped_loads_where_the_package_is_not_installed_and_is_passed_on_whole(
    shaped: Path, tmp_path: Path
) -> None:
    code = """
try:
    AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=False)
except ValueError as error:
    print("trust_remote_code" in str(error))
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True)
print(logits(model))
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=True)
ids = tokenizer("Once upon a time", return_tensors="pt")["input_ids"]
print(model.generate(ids, max_new_tokens=5, do_sample=False)[0].tolist())
model.save_pretrained(sys.argv[2])
model.config.save_pretrained(sys.argv[2] + "-config")
print(logits(AutoModelForCausalLM.from_pretrained(sys.argv[2], trust_remote_code=True)))
print(any(name.startswith("tailored_llama") for name in sys.modules))
"""
    refused, first, generated, again, imported = in_a_process(
        UNAVAILABLE + LOGITS + code, tmp_path, shaped, tmp_path / "again"
    )
    assert (refused, imported) == ("True", "False")
    assert json.loads(first) == json.loads(again) == logits(shaped)
    ids = load_tokenizer(shaped)("Once upon a time", return_tensors="pt")["input_ids"]
    here = load_model(shaped).generate(ids, max_new_tokens=5, do_sample=False)[0].tolist()
    assert json.loads(generated) == here
    for directory in (tmp_path / "again", tmp_path / "again-config"):
        assert (directory / "shaped.py").read_bytes() == (shaped / "shaped.py").read_bytes()
        assert "AutoModelForCausalLM" in json.loads((directory / "config.json").read_text())["auto_map"]
    # What that process wrote is a checkpoint to us as well.
    assert logits(tmp_path / "again") == logits(shaped)


@pytest.mark.parametrize(
    "first", ["import tailored_llama", "import transformers", LOGITS], ids=["us", "them", "auto"]
)
def test_shaped_loads_in_a_process_that_imported_us_whatever_came_first(
    shaped: Path, tmp_path: Path, first: str
) -> None:
    code = f"""
import sys
{first}
import tailored_llama
{LOGITS}
for trust in ({{}}, {{"trust_remote_code": True}}):
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], **trust)
    print(type(model).__module__)
    print(logits(model))
print(AutoConfig.from_pretrained(sys.argv[1]).model_type)
model.save_pretrained(sys.argv[2])
"""
    here, values, trusting, again, kind = in_a_process(code, tmp_path, shaped, tmp_path / "again")
    assert here == trusting == "tailored_llama.shaped"
    assert json.loads(values) == json.loads(again) == logits(shaped)
    assert kind == "shaped_llama"
    assert (tmp_path / "again" / "shaped.py").is_file()


def test_plain_is_stock_for_everybody(base: Path, tmp_path: Path) -> None:
    forms = {
        "llama": reshaped(base, tmp_path / "llama", [2] * 5),
        "llama in shards": reshaped(base, tmp_path / "shards", [2] * 5, shard=50_000),
        "mistral": reshaped(base, tmp_path / "mistral", [3] * 5),
    }
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    code = """
for directory in sys.argv[1:]:
    model = AutoModelForCausalLM.from_pretrained(directory)
    print(type(model).__name__)
    print(logits(model))
    model.save_pretrained(directory + "-again")
"""
    lines = in_a_process(UNAVAILABLE + LOGITS + code, tmp_path, *forms.values())
    assert lines[::2] == ["LlamaForCausalLM", "LlamaForCausalLM", "MistralForCausalLM"]
    for directory, values in zip(forms.values(), lines[1::2], strict=True):
        assert not (directory / "shaped.py").exists()
        assert json.loads(values) == logits(directory) == logits(Path(f"{directory}-again"))


@pytest.mark.parametrize("heads", [[2] * 5, [3] * 5, [4, 1, 2, 3, 4]], ids=["llama", "mistral", "shaped"])
def test_the_tokens_are_those_of_the_base_whatever_the_form(
    base: Path, shared: Path, tmp_path: Path, heads: list[int]
) -> None:
    texts = [
        "Once upon a time",
        " leading space",
        "a<s>b</s>c",
        "two  spaces\n\nand lines ",
        "\u00fcn\u00ef \u4f60",
    ]
    for tokenizer in (base, shared / "tokenizers" / "llama"):
        source = tmp_path / tokenizer.name
        source.mkdir()
        for file in [*base.iterdir(), *tokenizer.glob("*token*")]:
            shutil.copyfile(file, source / file.name)
        once = reshaped(source, tmp_path / f"{tokenizer.name}-once", heads)
        write_checkpoint(open_weights(once), twice := tmp_path / f"{tokenizer.name}-twice", copy_from=once)
        expected = load_tokenizer(source)(texts)["input_ids"]
        assert expected == AutoTokenizer.from_pretrained(source)(texts)["input_ids"]
        for written in (once, twice):
            assert load_tokenizer(written)(texts)["input_ids"] == expected


def test_lm_eval_scores_a_shaped_checkpoint(shaped: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=load_model(shaped), tokenizer=load_tokenizer(shaped), device="cpu", batch_size=2)
    contexts = [("Once upon a time", " there"), ("Lily went to the", " park"), ("The", " dog and the cat")]

    class Request:
        def __init__(self, args: tuple[str, str]) -> None:
            self.args = args

    scored = lm.loglikelihood([Request(pair) for pair in contexts], disable_tqdm=True)
    model, tokenizer = load_model(shaped), load_tokenizer(shaped)
    for (context, answer), (value, _) in zip(contexts, scored, strict=True):
        ids = tokenizer(context + answer, return_tensors="pt")["input_ids"]
        start = len(tokenizer(context)["input_ids"])
        with torch.inference_mode():
            logprobs = model(ids).logits.log_softmax(-1)[0, :-1]
        direct = logprobs.gather(1, ids[0, 1:, None])[start - 1 :].sum()
        assert abs(direct - value) < 1e-3


def test_an_interrupted_stage_leaves_nothing(tmp_path: Path) -> None:
    code = """
import signal, sys, time
from tailored_llama.stage import Stage, complete
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
def produce(folder):
    (folder / "half").write_text("written")
    print("ready", flush=True)
    time.sleep(60)
complete(Stage("prune", {}, dict, produce), sys.argv[1])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    assert any(tmp_path.iterdir())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert not any(tmp_path.iterdir())


def test_a_large_checkpoint_is_copied_in_the_memory_of_one_tensor(tmp_path: Path) -> None:
    model = pico(
        vocab_size=2048, hidden_size=1024, intermediate_size=4096, num_hidden_layers=6, head_dim=64,
        num_attention_heads=16, num_key_value_heads=16, weights="fresh",
    )  # fmt: skip
    write_checkpoint(open_weights(model), tmp_path / "big")
    size = sum(path.stat().st_size for path in (tmp_path / "big").iterdir())
    assert size > 4e8
    # The process's own memory: pages of the files it maps belong to the page cache.
    code = """
import sys, threading, time
from tailored_llama.checkpoint import open_weights, write_checkpoint
def own():
    text = open("/proc/self/status").read()
    return int(text.split("RssAnon:")[1].split()[0]) * 1024
weights, seen, done = open_weights(sys.argv[1]), [], threading.Event()
def watch():
    while not done.is_set():
        seen.append(own()); time.sleep(0.001)
before = own()
thread = threading.Thread(target=watch); thread.start()
write_checkpoint(weights, sys.argv[2])
done.set(); thread.join()
print(max(seen) - before)
"""
    (grown,) = in_a_process(code, tmp_path, tmp_path / "big", tmp_path / "copy")
    largest = 4096 * 1024 * 4
    assert int(grown) < largest, f"{int(grown) / 1e6:.0f} MB for {size / 1e6:.0f} MB of weights"
