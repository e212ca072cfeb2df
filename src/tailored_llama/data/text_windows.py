"""Calibration text: `samples` windows of `length` tokens, determined by the seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tailored_llama.data.formats import as_row, parse_json
from tailored_llama.data.hub import load_dataset
from tailored_llama.data.tokens import Encoder, check_ids
from tailored_llama.errors import DataError
from tailored_llama.recipe import Calibration
from tailored_llama.recipe.text import read_text

Windows = Int[Tensor, "samples length"]
Encode = Callable[[str], list[int]]
C4 = ("allenai/c4", "en")
NAMED = ("c4", "world", "task")
SHUFFLED = 1000
"""Size of the shuffle buffer, in rows of C4, which is streamed rather than downloaded."""


def calibration_tokens(
    settings: Calibration,
    tokenizer: Callable[[], PreTrainedTokenizerBase],
    *,
    vocabulary: int,
    seed: int,
    tasks: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
) -> Windows:
    """Token ids [samples, length] from `settings.source`; `tokenizer` is only called if text is read.

    - `world` or a .txt file: one token stream, cut at seeded offsets without overlap.
    - `c4` or a .jsonl file: one window from each of `samples` rows, drawn with the seed from those that are
      long enough.
    - `task`: training rows of `tasks` with their correct answers, in randomly drawn prompts, concatenated (at
      most the last `max_length` tokens of each).
    - a .safetensors file: ids in `input_ids` [n, length], used as they are.

    `data` may name a local file for c4 and directories for tasks. Tokens that a tokenizer appends to a text
    are left out (see Encoder).

    Raises DataError, with the numbers, if the source is too short, CheckpointError for a token outside the
    model's `vocabulary`.
    """
    data = data or {}
    source = data.get("c4", "c4") if settings.source == "c4" else settings.source
    draw = random.Random(seed)

    encoder = cache(lambda: Encoder(tokenizer()))

    def encode(text: str) -> list[int]:
        return encoder()(text)

    if source == "c4":
        windows = _from_rows(c4_texts(seed), settings, encode, draw, "c4")
    elif source == "world":
        from tailored_llama import world

        windows = _from_stream(encode(world.text("train")), settings, draw, "world")
    elif source == "task":
        windows = _from_tasks(tasks, data, settings, encode, draw)
    else:
        windows = _from_file(Path(source), settings, encode, draw)
    if Path(source).suffix != IDS:
        check_ids(windows.flatten().tolist(), vocabulary, encoder().tokenizer, f"calibration {source}")
    return check_windows(windows, vocabulary, source)


def check_windows(windows: Windows, vocabulary: int, source: str) -> Windows:
    """Token ids as int64 [samples, length]. Raises DataError for a wrong shape, type or vocabulary."""
    if windows.ndim != 2 or windows.is_floating_point() or windows.shape[0] < 1 or windows.shape[1] < 2:
        raise DataError(
            f"calibration {source}: input_ids are {windows.dtype} {list(windows.shape)}; "
            "they must be integers [samples, length] with length at least 2"
        )
    if int(windows.min()) < 0 or int(windows.max()) >= vocabulary:
        raise DataError(
            f"calibration {source}: token ids from {int(windows.min())} to {int(windows.max())}, but the "
            f"model's vocabulary is {vocabulary}; tokenize with the model's own tokenizer"
        )
    return windows.long()


def check_source(source: str, key: str = "calibration.source") -> None:
    """DataError if `source`, the value of the recipe's `key`, is unknown or a missing file."""
    path = Path(source)
    if source in NAMED:
        return
    if path.suffix not in READERS:
        raise DataError(
            f"{key}: unknown source '{path}'; name one of {', '.join(NAMED)}, or a {', '.join(READERS)} file"
        )
    if not path.is_file():
        raise DataError(f"{key}: {path} does not exist; name an existing file")


def _from_file(path: Path, settings: Calibration, encode: Encode, draw: random.Random) -> Windows:
    check_source(str(path))
    return READERS[path.suffix](path, settings, encode, draw)


def _from_text(path: Path, settings: Calibration, encode: Encode, draw: random.Random) -> Windows:
    return _from_stream(encode(read_text(path)), settings, draw, str(path))


def _from_jsonl(path: Path, settings: Calibration, encode: Encode, draw: random.Random) -> Windows:
    texts = jsonl_texts(path)
    draw.shuffle(texts)
    return _from_rows(texts, settings, encode, draw, str(path))


def jsonl_texts(path: Path) -> list[str]:
    """The `text` of every row of a .jsonl file; DataError naming the row that has none."""
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    return [_text_of(line, f"{path}, row {number}") for number, line in enumerate(lines, start=1)]


def _text_of(line: str, place: str) -> str:
    try:
        text = as_row(parse_json(line), place)["text"]
    except (ValueError, KeyError):
        text = None
    if not isinstance(text, str):
        raise DataError(f'{place}: not a JSON object with a "text" field; correct the row')
    return text


def _from_safetensors(path: Path, settings: Calibration, encode: Encode, draw: random.Random) -> Windows:
    ids = from_safetensors(path)
    if ids.ndim == 2 and (ids.shape[0] < settings.samples or ids.shape[1] < settings.length):
        raise _too_short(str(path), settings, f"input_ids are {list(ids.shape)}")
    windows: Tensor = ids[: settings.samples, : settings.length] if ids.ndim == 2 else ids
    return windows


def from_safetensors(path: Path) -> Tensor:
    """The `input_ids` of a .safetensors file as they are; DataError if it has none."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); write input_ids [n, length] with safetensors"
        ) from None
    if "input_ids" not in tensors:
        raise DataError(
            f"{path}: no input_ids, only {', '.join(tensors) or 'nothing'}; store ids [n, length]"
        )
    ids: Tensor = tensors["input_ids"]
    return ids


IDS = ".safetensors"
READERS = {".txt": _from_text, ".jsonl": _from_jsonl, IDS: _from_safetensors}


def c4_texts(seed: int) -> Iterator[str]:
    """The hub's rows of C4, shuffled by `seed`."""
    try:
        stream = load_dataset(*C4, split="train", streaming=True)
        for row in stream.shuffle(seed=seed, buffer_size=SHUFFLED):
            yield str(row["text"])
    except Exception as error:  # the hub, the network and their caches raise many types of errors
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"calibration c4: cannot be read from the hub ({reason}); name a local file, "
            "data: {c4: FILE.jsonl}, or another prune.calibration.source"
        ) from None


def _from_rows(
    texts: Iterable[str], settings: Calibration, encode: Encode, draw: random.Random, where: str
) -> Windows:
    """One window, at a seeded offset, from each of the first `samples` texts that are long enough."""
    windows: list[list[int]] = []
    seen = 0
    for text in texts:
        seen += 1
        ids = encode(text)
        if len(ids) >= settings.length:
            start = draw.randrange(len(ids) - settings.length + 1)
            windows.append(ids[start : start + settings.length])
        if len(windows) == settings.samples:
            return torch.tensor(windows)
    raise _too_short(where, settings, f"{len(windows)} of its {seen} rows are that long")


def _from_stream(ids: Sequence[int], settings: Calibration, draw: random.Random, where: str) -> Windows:
    """Windows at seeded offsets, none overlapping another, in the order of the text."""
    samples, length = settings.samples, settings.length
    # Shrink each window to one slot, choose slots, and widen them again: all placements are equally likely.
    slots = len(ids) - samples * (length - 1)
    if slots < samples:
        raise _too_short(where, settings, f"it has {len(ids):,} tokens")
    starts = [slot + i * (length - 1) for i, slot in enumerate(sorted(draw.sample(range(slots), samples)))]
    return torch.tensor([list(ids[start : start + length]) for start in starts])


def _from_tasks(
    tasks: Sequence[str], data: Mapping[str, str], settings: Calibration, encode: Encode, draw: random.Random
) -> Windows:
    """Training rows with their correct answers, alternating between tasks, concatenated and cut
    into windows.
    """
    if not tasks:
        raise DataError(
            "calibration.source: task: the recipe has no tasks; set tasks: [NAME], or another source"
        )
    from tailored_llama.data import load_task

    target = settings.samples * settings.length
    pools = []
    for name in tasks:
        task = load_task(name)
        loaded = task.rows("train", data.get(task.name))
        rows = list(enumerate(loaded))
        draw.shuffle(rows)
        pools.append((task, rows, loaded.where))
    ids: list[int] = []
    for turn in range(max(len(rows) for _, rows, _ in pools)):
        for task, rows, where in pools:
            if turn < len(rows):
                index, row = rows[turn]
                example = task.render(draw.choice(list(task.prompts)), row, index, where)
                ids += encode(f"{example.context}{example.answer}\n\n")[-task.max_length :]
        if len(ids) >= target:
            return torch.tensor(ids[:target]).view(settings.samples, settings.length)
    raise _too_short("task", settings, f"the training rows of {', '.join(tasks)} give {len(ids):,} tokens")


def _too_short(where: str, settings: Calibration, detail: str) -> DataError:
    return DataError(
        f"calibration {where}: too short for {settings.samples} windows of {settings.length} tokens: "
        f"{detail}; set fewer prune.calibration.samples, a smaller length, or another source"
    )
