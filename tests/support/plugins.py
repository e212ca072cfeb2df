"""A plugin folder with one of each kind, and a pico model of its family."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, GraniteConfig, PreTrainedModel

SPREAD = '''
"""How unlike the weights of a channel are."""
from tailored_llama.stages.prune.criterion import Matrix, matrix_criterion


@matrix_criterion(needs="weights", reference="Source A")
def spread(matrix: Matrix):
    """Standard deviation of w over a channel."""
    return matrix.weight.std(dim=1, correction=0)
'''
BRIER = '''
"""Squared error of the probability of each token of the answer."""
from tailored_llama.training.loss import loss


@loss(per="answer")
def brier(logprobs, batch):
    right = batch.gold[batch.choice]
    return (1 - logprobs[batch.at[right], batch.targets[right]].exp()).square().sum()
'''
INVENTORY = '''
"""A text file with the name and shape of each tensor."""
from tailored_llama.stages.export.format import Format


def write(weights, out, *, source, dtype):
    out.write_text("".join(f"{name} {weights.shape(name)}\\n" for name in weights.names()))


INVENTORY = Format(write, lambda config: "Read it with an editor.", suffix=".txt")
'''
GRANITE = '''
"""Granite (IBM 2024): LLaMA with constant factors on embeddings, attention scores, residuals and logits."""
from tailored_llama.families.table import Family, heads_divide
from tailored_llama.families.tables.llama import INERT, KNOWN, MEMBERS, biases

FACTORS = {"embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling"}

GRANITE = Family(
    name="granite",
    architecture="GraniteForCausalLM",
    members=MEMBERS,
    known=KNOWN | FACTORS,
    inert=INERT,
    plain=("granite",),
    shaped=("granite",),
    biases=biases,
)
'''
FILES = {
    "criteria/spread.py": SPREAD, "losses/brier.py": BRIER, "formats/inventory.py": INVENTORY,
    "families/granite.py": GRANITE,
}  # fmt: skip


def plugin_folder(place: Path) -> Path:
    """A criterion `spread`, a loss `brier`, a format `inventory` and the family `granite` in `place`."""
    for name, text in FILES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    return place


def granite(vocabulary: int = 300) -> PreTrainedModel:
    """A random Granite of two layers with grouped queries, in eval mode."""
    config = GraniteConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=256, bos_token_id=0,
        eos_token_id=1,
        embedding_multiplier=3.0, attention_multiplier=0.4, residual_multiplier=0.7, logits_scaling=2.0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (parameter.ndim == 1))
    return model
