"""Checkpoints with a spoilt config, index, header, weights, tokenizer or adapter, or with foreign files."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign import child
from tests.campaign.bench import OUT, Bench
from tests.campaign.nasty import VALUES, damage, spoil, text_of
from tests.campaign.verdict import Outcome, Wrong, check_left, check_same, contents, judge, nothing_lost

COUNT, SHORT = 240, 8
RECIPE = ("--recipe", "quick.yaml")
TASK = "mood/mood.yaml"
VERBS: dict[str, tuple[str, ...]] = {
    "plan": ("plan", "victim", *RECIPE, "--out", OUT + ".json"),
    "prune": ("prune", "victim", *RECIPE, "--out", OUT),
    "tune": ("tune", "victim", "--task", TASK, *RECIPE, "--out", OUT),
    "evaluate": (
        "evaluate",
        "victim",
        "--tasks",
        TASK,
        "--prompt",
        "plain",
        "--limit",
        "4",
        "--out",
        OUT,
        "--json",
    ),
    "measure": ("measure", "victim", "--repeats", "1", "--length", "8", "--new", "2", "--json"),
    "config": ("measure", "victim", "--config-only", "--json"),
    "hf": ("export", "victim", "--out", OUT),
    "gguf": ("export", "victim", "--to", "gguf", "--out", OUT),
    "run": ("run", "quick.yaml", "--set", "model=victim", "--out", OUT),
    "merge": ("export", "given/heal", "--adapter", "given/tune-mood", "--out", OUT),
    "scored": ("export", "victim", "--results", "given/results.json", "--out", OUT),
}
READS_WEIGHTS = {"prune", "tune", "evaluate", "hf", "gguf", "run"}
PWNED = "import pathlib\npathlib.Path('pwned').write_text('x')\n"
ADDED: dict[str, Any] = {
    "quantization_config": {"quant_method": "gptq", "bits": 4}, "auto_map": {"AutoConfig": "evil.EvilConfig"},
    "attn_implementation": "flash_attention_2", "_attn_implementation": "nosuch",
    "torch_dtype": "float8_e4m3fn",
    "dtype": "int8", "rope_scaling": {"type": "yarn", "factor": -1}, "sliding_window": -4,
    "layer_types": ["x"],
    "num_experts": 8, "text_config": {"hidden_size": 4}, "is_decoder": False, "pruned_heads": {"0": [1]},
    "layer_widths": [[1, 1, 1]], "architectures": ["EvilForCausalLM"], "model_type": "mistral",
    "use_cache": "maybe", "output_hidden_states": True, "return_dict": False, "id2label": {"x": 1},
    "num_labels": -1, "transformers_version": "999", "_name_or_path": "/nowhere", "head_dim": 7,
    "pad_token_id": 10**6, "eos_token_id": [1, "x"], "tokenizer_class": "EvilTokenizer", "attention_twist": 1,
}  # fmt: skip


def case(bench: Bench, seed: int, folder: Path) -> Outcome:
    """Spoil a copy of a checkpoint in one way and give it to a verb."""
    dice = random.Random(seed)
    bench.inputs(folder, "hf")
    kind = dice.choice(("model", "model", "sharded", "shaped"))
    if kind == "shaped":
        shutil.copytree(bench.undisturbed("shaped").disk / "out", folder / "victim")
    else:
        shutil.copytree(folder / kind, folder / "victim")
    spoiler = dice.choice(SPOILERS)
    verb, what = dice.choice([*VERBS]), ""
    if spoiler is _adapter:
        verb = "merge"
    elif verb in ("merge", "scored"):
        spoiler = _results if verb == "scored" else _adapter
    for time in range(dice.choice((1, 1, 1, 2))):
        try:
            what += f"{spoiler.__name__[1:]}: {spoiler(folder, dice)}; "
        except (ValueError, OSError):
            if not time:  # once damaged, a file may be too far gone to be spoilt again
                raise
    with nothing_lost(folder):
        before = contents(folder / "disk")
        ran = child.run(VERBS[verb], folder)
        try:
            verdict = judge(ran)
            if verdict == "refused" and verb != "run":
                check_same(before, contents(folder / "disk"), f"after a refusal by {ran.line}")
            check_left(folder / OUT)
        except Wrong as error:
            raise Wrong(f"{kind}, {what}{error}") from None
    if spoiler is _numbers and verdict != "refused" and verb in READS_WEIGHTS and "norm" not in what:
        raise Wrong(f"{kind}, {what}weights that are no numbers are taken: {ran.line}")
    return "refused" if verdict == "refused" else "done"


def _json(name: str, values: tuple[Any, ...] = VALUES) -> Callable[[Path, random.Random], str]:
    """Spoil one place of a JSON file, or, more rarely, its bytes."""

    def change(folder: Path, dice: random.Random) -> str:
        path = folder / "victim" / name
        if dice.random() < 0.15:
            return _bytes(path, dice)
        content = json.loads(path.read_text())
        done = spoil(content, dice, values)
        path.write_text(text_of(content))
        return f"{name} {done}"

    change.__name__ = f"_{name}"
    return change


def _bytes(path: Path, dice: random.Random) -> str:
    data, how = damage(path.read_bytes(), dice)
    path.write_bytes(data)
    return f"{path.name}: {how}"


def _added(folder: Path, dice: random.Random) -> str:
    """An attribute that other models or programs have."""
    path, key = folder / "victim" / "config.json", dice.choice([*ADDED])
    path.write_text(text_of({**json.loads(path.read_text()), key: ADDED[key]}))
    (folder / "victim" / "evil.py").write_text(PWNED)
    return f"{key}={ADDED[key]!r}"


def _index(folder: Path, dice: random.Random) -> str:
    """The index of shards, or one made for a single file."""
    path = folder / "victim" / "model.safetensors.index.json"
    if not path.exists():
        names = _header(folder / "victim" / "model.safetensors")[0]
        path.write_text(
            text_of({"weight_map": {name: "model.safetensors" for name in names if name[0] != "_"}})
        )
    content = json.loads(path.read_text())
    if dice.random() < 0.2:
        return _bytes(path, dice)
    if dice.random() < 0.3:
        content["weight_map"][f"extra.{dice.random()}"] = dice.choice(
            ("nosuch.safetensors", "../model/model.safetensors", 1)
        )
        done = "a tensor that nobody has"
    else:
        done = spoil(content, dice)
    path.write_text(text_of(content))
    return done


def _headers(folder: Path, dice: random.Random) -> str:
    """The header of a safetensors file: names, shapes, types, offsets, or its length."""
    path = _weights(folder, dice)
    header, body = _header(path)
    if dice.random() < 0.2:
        length = dice.choice((0, 1, 2**20, 2**40, 2**63, 2**64 - 1))
        path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
        return f"{path.name}: a header of {length} bytes"
    types = ("F8_E4M3", "I8", "BF16", "F64", "F4", "nosuch", "BOOL")
    done = spoil(header, dice, (*VALUES, *types)) if dice.random() < 0.8 else ""
    if not done:
        name = dice.choice([name for name in header if name != "__metadata__"])
        header[name]["dtype"] = dice.choice(types)
        done = f"{name} is {header[name]['dtype']}"
    text = text_of(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return f"{path.name}: {done}"


def _numbers(folder: Path, dice: random.Random) -> str:
    """NaN or infinity in the middle of the weights."""
    path = _weights(folder, dice)
    header, body = _header(path)
    name = dice.choice([name for name in header if name != "__metadata__"])
    start, end = header[name]["data_offsets"]
    at = start + 4 * dice.randrange((end - start) // 4)
    value = dice.choice((float("nan"), float("inf"), float("-inf")))
    text = path.read_bytes()
    head = len(text) - len(body)
    path.write_bytes(text[: head + at] + struct.pack("<f", value) + text[head + at + 4 :])
    return f"{name} holds {value}"


def _tensors(folder: Path, dice: random.Random) -> str:
    """A tensor renamed, doubled or left out of a file."""
    path = _weights(folder, dice)
    header, body = _header(path)
    name = dice.choice([name for name in header if name != "__metadata__"])
    how = dice.choice(("left out", "renamed", "doubled", "without model.", "with module."))
    facts = header.pop(name) if how != "doubled" else header[name]
    if how == "renamed":
        header[f"{name}.old"] = facts
    elif how == "doubled":
        header[f"{name}_copy"] = facts
    elif how == "without model.":
        header = {n.removeprefix("model."): f for n, f in {name: facts, **header}.items()}
    elif how == "with module.":
        header = {f"module.{n}": f for n, f in {name: facts, **header}.items() if n[0] != "_"}
    text = text_of(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return f"{name} {how}"


def _files(folder: Path, dice: random.Random) -> str:
    """A file damaged, missing, a directory, a link to nowhere; or one more of another program."""
    victim = folder / "victim"
    path = dice.choice(sorted(path for path in victim.iterdir() if path.is_file()))
    how = dice.choice(
        ("damaged", "missing", "a directory", "a dead link", "a loop", "pickled", "adapter", "code")
    )
    if how == "damaged":
        return _bytes(path, dice)
    if how == "pickled":
        (victim / "pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\nU\x0btouch pwned\x85R.")
    elif how == "adapter":
        for file in (folder / "given" / "tune-mood" / "adapter").iterdir():
            shutil.copyfile(file, victim / file.name)
    elif how == "code":
        (victim / "evil.py").write_text(PWNED)
        config = json.loads((victim / "tokenizer_config.json").read_text())
        config |= {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}, "tokenizer_class": "Evil"}
        (victim / "tokenizer_config.json").write_text(text_of(config))
    else:
        path.unlink()
        if how == "a directory":
            path.mkdir()
        elif how != "missing":
            path.symlink_to("nowhere" if how == "a dead link" else path.name)
    return f"{how} ({path.name})"


def _adapter(folder: Path, dice: random.Random) -> str:
    """An adapter spoilt: its config, its weights, what it says of its base."""
    home = folder / "given" / "tune-mood" / "adapter"
    path = dice.choice([*sorted(home.glob("*")), home / "adapter_config.json"])
    if path.suffix != ".json" or dice.random() < 0.2:
        return _bytes(path, dice)
    content = json.loads(path.read_text())
    done = spoil(content, dice)
    path.write_text(text_of(content))
    return f"{path.name} {done}"


def _results(folder: Path, dice: random.Random) -> str:
    """The results.json that a model card is made from."""
    path = folder / "given" / "results.json"
    if dice.random() < 0.2:
        return _bytes(path, dice)
    content = json.loads(path.read_text())
    done = spoil(content, dice)
    path.write_text(text_of(content))
    return done


def _weights(folder: Path, dice: random.Random) -> Path:
    return dice.choice(sorted((folder / "victim").glob("*.safetensors")))


def _header(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


SPOILERS: tuple[Callable[[Path, random.Random], str], ...] = (
    _json("config.json"), _json("config.json"), _json("config.json"), _json("config.json"), _added, _added,
    _index, _headers, _headers, _numbers, _tensors, _json("tokenizer.json"), _json("tokenizer_config.json"),
    _json("generation_config.json"), _files, _files, _adapter, _results,
)  # fmt: skip
