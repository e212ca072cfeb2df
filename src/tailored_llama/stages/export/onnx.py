"""ONNX through transformers' own exporter: one graph that reads a prompt and continues it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import torch

from tailored_llama.checkpoint import Weights, load_model
from tailored_llama.errors import TailorError

NEEDED = ("onnx", "onnxscript")
NOISY = ("torch.onnx", "torch.export", "torch._export")


def write_onnx(weights: Weights, directory: Path) -> None:
    """Write `model.onnx`, `model.onnx.data` and the configs into `directory`, in fp32.

    Inputs: `input_ids` and `position_ids` [batch, new], and for each layer the keys and values so far,
    `input.past_key_values.layers.N.keys` and `.values` [batch, kv_heads of N, past, head_dim]. Outputs:
    `logits` [batch, new, vocab] and `output.past_key_values...` with past + new. batch, new and past are
    free; past is 0 for a prompt. The rows of a batch are all of one length: there is no padding. The whole
    model is in memory meanwhile. Raises TailorError without the extra `onnx`.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise TailorError(f"ONNX needs {', '.join(missing)}: pip install 'tailored-llama[onnx]'")
    from transformers.exporters import OnnxConfig, OnnxExporter
    from transformers.exporters.utils import decompose_for_generation

    model = load_model(weights, dtype=torch.float32)
    # Two rows of several tokens: an extent of 1 in the example would be taken for a constant.
    prompt = torch.arange(12).reshape(2, 6) % int(model.config.vocab_size)
    inputs = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}
    with _quiet():
        stages = decompose_for_generation(model, inputs, multi_token_decode=True)
        # The step that goes on from a cache, any number of tokens at once; from an empty one it is the first.
        step, example = stages["decode"]
        OnnxExporter().export(step, example, OnnxConfig(dynamic=True)).save_pretrained(directory)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch.onnx tells its progress on stdout, where results belong, and logs what it does without."""
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
