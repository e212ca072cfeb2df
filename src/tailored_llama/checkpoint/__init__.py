"""Reading and writing of checkpoints: weights are read lazily and written as a stream.

A checkpoint is a directory of config.json, safetensors and tokenizer files; never a pickle. The plain form
uses a stock transformers class. The shaped form, for layers of different widths, also contains `shaped.py`.
"""

from tailored_llama.checkpoint.accepted import (
    ALLOWED_KEY,
    accepted_now,
    accepting,
    remembered,
    remembered_by,
    takes_allow_config,
)
from tailored_llama.checkpoint.adapter import (
    adapter_base,
    adapter_digest,
    find_adapter,
    is_adapter,
    load_tuned,
    merge_adapter,
    named_adapter,
)
from tailored_llama.checkpoint.config import TOKENIZER_KEY
from tailored_llama.checkpoint.digests import digest_file, in_full, moved
from tailored_llama.checkpoint.disk import (
    check_file,
    disk_errno,
    free_bytes,
    make_directory,
    replacing,
    require_room,
    size_text,
    write_bytes,
    write_json,
    write_lines,
    write_tensors,
    write_text,
    writing,
)
from tailored_llama.checkpoint.files import digest_directory, read_json, read_record, read_records
from tailored_llama.checkpoint.lineage import front_matter
from tailored_llama.checkpoint.load import load_model, load_tokenizer
from tailored_llama.checkpoint.merging import merge_weights
from tailored_llama.checkpoint.open import load_config, open_weights
from tailored_llama.checkpoint.partial import clear_leftovers, host, is_leftover, partial_path, remove
from tailored_llama.checkpoint.resolve import hub_id, public_name, resolve
from tailored_llama.checkpoint.weights import (
    Checkpoint,
    ModelWeights,
    Weights,
    check_finite,
    require_finite_model,
    weights_digest,
    widest_dtype,
)
from tailored_llama.checkpoint.write import (
    check_room,
    copy_extras,
    extra_bytes,
    write_checkpoint,
    write_config,
    write_tokenizer,
)

__all__ = [
    "ALLOWED_KEY",
    "TOKENIZER_KEY",
    "Checkpoint",
    "ModelWeights",
    "Weights",
    "accepted_now",
    "accepting",
    "adapter_base",
    "adapter_digest",
    "check_file",
    "check_finite",
    "check_room",
    "clear_leftovers",
    "copy_extras",
    "digest_directory",
    "digest_file",
    "disk_errno",
    "extra_bytes",
    "find_adapter",
    "free_bytes",
    "front_matter",
    "host",
    "hub_id",
    "in_full",
    "is_adapter",
    "is_leftover",
    "load_config",
    "load_model",
    "load_tokenizer",
    "load_tuned",
    "make_directory",
    "merge_adapter",
    "merge_weights",
    "moved",
    "named_adapter",
    "open_weights",
    "partial_path",
    "public_name",
    "read_json",
    "read_record",
    "read_records",
    "remembered",
    "remembered_by",
    "remove",
    "replacing",
    "require_finite_model",
    "require_room",
    "resolve",
    "size_text",
    "takes_allow_config",
    "weights_digest",
    "widest_dtype",
    "write_bytes",
    "write_checkpoint",
    "write_config",
    "write_json",
    "write_lines",
    "write_tensors",
    "write_text",
    "write_tokenizer",
    "writing",
]
