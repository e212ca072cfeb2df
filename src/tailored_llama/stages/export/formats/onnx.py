"""An fp32 graph for prompts and cached decoding steps, written by transformers' exporter."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import io
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig

from tailored_llama.checkpoint import Weights, copy_extras, load_model, require_room, write_config, writing
from tailored_llama.errors import TailorError
from tailored_llama.stages.export.format import Format

NEEDED = ("onnx", "onnxscript")
READ = ("input_ids", "position_ids")
"""The inputs that come before the keys and values of each layer."""
STATES = ("key", "value")


def write(weights: Weights, out: Path, *, source: Path | None, dtype: str) -> None:
    """Write the graph and the tokenizer of `source`."""
    write_onnx(weights, out)
    if source is not None:
        copy_extras(source, out)


def loading(config: PreTrainedConfig) -> str:
    """One sentence."""
    return "`model.onnx` and its `model.onnx.data` run in ONNX Runtime."


ONNX = Format(write, loading)


def write_onnx(weights: Weights, directory: Path) -> None:
    """Write `model.onnx`, `model.onnx.data` and config.json into `directory`, in fp32.

    Inputs: `input_ids` and `position_ids` [batch, new], and for each layer N the keys and values so far,
    `past_key_values.N.key` and `.value` [batch, kv_heads of N, past, head_dim]. Outputs: `logits`
    [batch, new, vocab] and `present.N.key` and `.value` with past + new positions. batch, new and past are
    dynamic; past is 0 for a prompt. All rows of a batch have the same length: there is no padding. The whole
    model is held in memory. Raises TailorError without the extra `onnx`, and OutputError if the disk is full;
    the free disk space is checked before the model is loaded.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise TailorError(f"ONNX needs {', '.join(missing)}: pip install 'tailored-llama[onnx]'")
    require_room(directory, onnx_bytes(weights))
    from transformers.exporters import OnnxExporter

    model = load_model(weights, dtype=torch.float32)
    with _quiet():
        program = _traced(model)
        _fix_names(program.graph)
        with writing(directory):
            OnnxExporter.save_program(program, directory / "model.onnx")
            _check_whole(directory / "model.onnx")
    write_config(weights, directory, dtype=torch.float32)


def _check_whole(path: Path) -> None:
    """OSError if the data file is too short: NumPy does not report a full disk at the end of a file."""
    import onnx

    for tensor in onnx.load(path, load_external_data=False).graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        if place:
            data = path.with_name(place["location"])
            end = int(place.get("offset", 0)) + int(place.get("length", 0))
            if data.stat().st_size < end:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(data))


def onnx_bytes(weights: Weights) -> int:
    """An upper bound on the bytes that `write_onnx` writes: the weights in fp32, and the graph."""
    parameters = sum(torch.Size(weights.shape(name)).numel() for name in weights.names())
    return 4 * parameters + 2**18 * int(weights.config.num_hidden_layers) + 2**20


def _traced(model: Any) -> Any:
    """The graph (an `onnx_ir.Model`) of one step, which reads any number of tokens after a cache."""
    from transformers.exporters import OnnxConfig, OnnxExporter
    from transformers.exporters.utils import decompose_for_generation

    # Two rows of several tokens: the exporter would treat a dimension of size 1 as a constant.
    prompt = torch.arange(12).reshape(2, 6) % int(model.config.vocab_size)
    inputs = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}
    stages = decompose_for_generation(model, inputs, multi_token_decode=True)
    # The step that continues from a cache, by any number of tokens; an empty cache makes it the first step.
    step, example = stages["decode"]
    return OnnxExporter().export(step, example, OnnxConfig(dynamic=True)).program


def _fix_names(graph: Any) -> None:
    """Give inputs, outputs and dynamic dimensions the documented names; the exporter's names differ.

    Unused inputs are dropped: a cache with a sliding window passes the window's size through the graph.
    """
    caches = _keep(graph.inputs, READ)
    present = _keep(graph.outputs, ("logits",))
    for node in [n for n in graph if not any(o.uses() or o.is_graph_output() for o in n.outputs)]:
        graph.remove(node, safe=True)
    assert len(caches) == len(present) > 0
    for values, prefix in ((caches, "past_key_values"), (present, "present")):
        for index, value in enumerate(values):
            value.name = f"{prefix}.{index // 2}.{STATES[index % 2]}"
    batch, new = map(str, graph.inputs[0].shape)
    free = {batch: "batch", new: "new"} | {str(value.shape[2]): "past" for value in caches}
    for value in [*graph.inputs, *(output for node in graph for output in node.outputs)]:
        if value.shape is not None:
            value.shape = _renamed(value.shape, free)


def _keep(values: Any, named: tuple[str, ...]) -> list[Any]:
    """Reduce `values` to those `named` and the four-dimensional ones (keys and values); return the latter."""
    states = [value for value in values if value.shape is not None and len(value.shape) == 4]
    values[:] = [value for value in values if value.name in named] + states
    assert [value.name for value in values[: len(named)]] == list(named), values
    return states


def _renamed(shape: Any, names: dict[str, str]) -> Any:
    """`shape` with its symbols renamed, also within sums, and its numbers as integers."""
    texts = [re.sub(r"\w+", lambda match: names.get(match[0], match[0]), str(extent)) for extent in shape]
    return type(shape)(int(text) if text.isdigit() else text for text in texts)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress torch.onnx's progress on stdout, which is for results, and the exporters' warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
