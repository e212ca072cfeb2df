"""Imported once by the server that every command of the campaign is forked from: the heavy libraries."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
from contextlib import suppress

import tailored_llama

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", NO_COLOR="1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

OTHERS = (
    "transformers.models.llama.modeling_llama", "transformers.models.mistral.modeling_mistral",
    "lm_eval.api.task", "lm_eval.evaluator", "matplotlib.pyplot", "gguf", "pyarrow.parquet",
    "rouge_score.rouge_scorer", "peft.tuners.lora", "rich.table", "yaml", "ruamel.yaml",
)  # fmt: skip

for module in pkgutil.walk_packages(tailored_llama.__path__, "tailored_llama."):
    if not module.name.endswith("__main__"):
        with suppress(ImportError):  # of an extra that is not installed
            importlib.import_module(module.name)
for name in OTHERS:
    with suppress(ImportError):
        importlib.import_module(name)
gc.freeze()  # what is imported is shared by all children as long as nobody writes to it
