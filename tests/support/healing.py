"""A student and its teacher, and how far they are apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from tailored_llama import checkpoint, heal
from tailored_llama.recipe import Heal, Tune

QUICK = Heal(texts=40, length=8, epochs=8, batch_size=8, learning_rate=1e-2, precision="fp32")
BRIEF = QUICK.model_copy(update={"texts": 16, "epochs": 1})
"""Where it does not matter how much is learned."""
SHOTS = Tune(shots=8)


def write_unpruned(base: Path, out: Path) -> Path:
    """A model whose layers the student differs in."""
    model = LlamaForCausalLM.from_pretrained(base)
    torch.manual_seed(7)
    for name, parameter in model.named_parameters():
        parameter.data += 0.3 * torch.randn_like(parameter) * ("proj" in name)
    model.save_pretrained(out)
    checkpoint.load_tokenizer(base).save_pretrained(str(out))
    return out


def healed(model: Path, taught_by: Path, rows: dict[str, str], **more: Any) -> Any:
    arguments = {"settings": QUICK, "shots": SHOTS, "data": rows, **more}
    return heal(model, teacher=taught_by, tasks=["boolq"], **arguments)


def apart(model: PreTrainedModel, other: PreTrainedModel) -> float:
    """Mean KL(other || model) over text that `other` writes after `<s>` and a word; none was trained on."""
    torch.manual_seed(5)
    begun = torch.tensor([[0, word] for word in range(16)] * 4)
    ids = other.generate(begun, attention_mask=torch.ones_like(begun), do_sample=True, max_new_tokens=8)
    with torch.no_grad():
        ours, theirs = (m(ids).logits.log_softmax(-1) for m in (model, other))
    return float((theirs.exp() * (theirs - ours)).sum(-1).mean())
