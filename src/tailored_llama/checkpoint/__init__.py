"""The only room that knows the disk: weights read lazily, checkpoints streamed out, stage directories.

A checkpoint is a directory of config.json, safetensors and tokenizer files; never a pickle. Its plain form is
a stock transformers class; its shaped form, for layers of different widths, carries `shaped.py` beside it.
"""

from tailored_llama.checkpoint.adapter import adapter_base, find_adapter, load_tuned, merge_adapter
from tailored_llama.checkpoint.config import TOKENIZER_KEY, load_config
from tailored_llama.checkpoint.files import digest_directory, digest_file, digests_of, read_json, write_json
from tailored_llama.checkpoint.load import load_model, load_tokenizer
from tailored_llama.checkpoint.resolve import resolve
from tailored_llama.checkpoint.stage import (
    completed,
    read_manifest,
    run_directory,
    stage_directory,
    versions,
)
from tailored_llama.checkpoint.weights import (
    Checkpoint,
    ModelWeights,
    Weights,
    check_finite,
    open_weights,
    weights_digest,
)
from tailored_llama.checkpoint.write import check_room, copy_extras, write_checkpoint

__all__ = [
    "TOKENIZER_KEY",
    "Checkpoint",
    "ModelWeights",
    "Weights",
    "adapter_base",
    "check_finite",
    "check_room",
    "completed",
    "copy_extras",
    "digest_directory",
    "digest_file",
    "digests_of",
    "find_adapter",
    "load_config",
    "load_model",
    "load_tokenizer",
    "load_tuned",
    "merge_adapter",
    "open_weights",
    "read_json",
    "read_manifest",
    "resolve",
    "run_directory",
    "stage_directory",
    "versions",
    "weights_digest",
    "write_checkpoint",
    "write_json",
]
