"""A checkpoint directory of safetensors that transformers loads, in the precision of the base."""

from __future__ import annotations

import re
from pathlib import Path

from transformers import PreTrainedConfig

from tailored_llama import checkpoint
from tailored_llama.checkpoint import Weights
from tailored_llama.stages.export.format import Format


def write(weights: Weights, out: Path, *, source: Path | None, dtype: str) -> None:
    """Write the checkpoint in the form of its config (plain or shaped), with the other files of `source`."""
    checkpoint.write_checkpoint(weights, out, copy_from=source)


def loading(config: PreTrainedConfig) -> str:
    """The Python code, and what a shaped checkpoint needs."""
    shaped = getattr(config, "layer_widths", None) is not None
    argument = ", trust_remote_code=True" if shaped else ""
    # AutoTokenizer chooses the class by the model type, and the tokenizer may be that of another type.
    type_ = str(getattr(config, checkpoint.TOKENIZER_KEY, None) or "")
    type_ = type_ if re.fullmatch(r"[\w.-]+", type_) else ""  # it is inserted into code
    tokenizer_config = f', config=AutoConfig.for_model("{type_}")' if type_ else ""
    lines = (
        f"from transformers import {'AutoConfig, ' if type_ else ''}AutoModelForCausalLM, AutoTokenizer\n\n"
        f'model = AutoModelForCausalLM.from_pretrained("path/to/this"{argument})\n'
        f'tokenizer = AutoTokenizer.from_pretrained("path/to/this"{tokenizer_config or argument})'
    )
    note = (
        "\n\nThe layers differ in width; `shaped.py` in this directory defines the model class. "
        "After `import tailored_llama` the model loads without `trust_remote_code`."
    )
    return f"```python\n{lines}\n```" + (note if shaped else "")


HF = Format(write, loading)
