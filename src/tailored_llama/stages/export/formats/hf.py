"""A checkpoint directory of safetensors that transformers loads, in the precision of the base."""

from __future__ import annotations

import re
from pathlib import Path

from transformers import PreTrainedConfig

from tailored_llama import checkpoint
from tailored_llama.checkpoint import Weights
from tailored_llama.stages.export.format import Format


def write(weights: Weights, out: Path, *, source: Path | None, dtype: str) -> None:
    """Write the checkpoint, plain or shaped as its config is, with the files beside that of `source`."""
    checkpoint.write_checkpoint(weights, out, copy_from=source)


def loading(config: PreTrainedConfig) -> str:
    """The lines of Python, and what a shaped checkpoint needs."""
    shaped = getattr(config, "layer_widths", None) is not None
    argument = ", trust_remote_code=True" if shaped else ""
    # AutoTokenizer goes by the model's type, and would read the files of another type's its own way.
    type_ = str(getattr(config, checkpoint.TOKENIZER_KEY, None) or "")
    type_ = type_ if re.fullmatch(r"[\w.-]+", type_) else ""  # it becomes code
    made_for = f', config=AutoConfig.for_model("{type_}")' if type_ else ""
    lines = (
        f"from transformers import {'AutoConfig, ' if type_ else ''}AutoModelForCausalLM, AutoTokenizer\n\n"
        f'model = AutoModelForCausalLM.from_pretrained("path/to/this"{argument})\n'
        f'tokenizer = AutoTokenizer.from_pretrained("path/to/this"{made_for or argument})'
    )
    note = (
        "\n\nIts layers differ in width, which `shaped.py` beside the weights builds. "
        "With `import tailored_llama` it loads without `trust_remote_code`."
    )
    return f"```python\n{lines}\n```" + (note if shaped else "")


HF = Format(write, loading)
