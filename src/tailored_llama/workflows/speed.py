"""The speed of this machine for a model of the recipe's sizes, measured by a few short passes.

The passes use models with the dense model's widths, few layers and constant weights: nothing is read from the
disk, and of a large model only two layers are in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.initialization import no_init_weights

from tailored_llama.families import MODEL, mac_sizes, parameter_count
from tailored_llama.machine import device_named
from tailored_llama.progress import quietly
from tailored_llama.recipe import Lora, Tune
from tailored_llama.scoring import embedding_rows, loglikelihoods
from tailored_llama.stages.prune.surgery import config_after
from tailored_llama.training.base_model import computing_dtype
from tailored_llama.training.batches import Material, Shot, rows_of, windows
from tailored_llama.training.generation import prompts_of, write_texts
from tailored_llama.training.loop import fit
from tailored_llama.training.lora import attach
from tailored_llama.training.whole import unfreeze
from tailored_llama.workflows.workload import Workload

SMALL = 20_000_000
"""Number of parameters up to which all layers are built."""
SHOTS, TEXTS, NEW = 8, 32, 12
"""Training rows that are scored and trained on, texts generated in one batch, new tokens of each."""
LONG = 0.3
"""Seconds. A pass that takes longer is not repeated after warm-up."""


@dataclass(frozen=True)
class Cost:
    """Seconds per token: outside the layers, and in all layers of the dense model."""

    around: float
    layers: float

    def at(self, share: float) -> float:
        """Seconds per token of a model whose layers have `share` of the dense model's size."""
        return self.around + share * self.layers


@dataclass(frozen=True)
class Speed:
    """The cost of a token in scoring, in training on task rows, on general text, and in generation."""

    score: Cost
    learn: Cost
    text: Cost
    write: Cost


_known: dict[str, Speed] = {}


def tokens_of(shots: Sequence[Shot]) -> int:
    """Tokens that are read for questions: a shared prefix of the choices is read once."""
    return sum(len(row.ids) for shot in shots for row in rows_of(shot.choices, True))


def measured(work: Workload) -> Speed:
    """A few passes of each kind, on the device and in the precision of the run. Cached in the process by
    model and settings. The random generators of the process are not changed.
    """
    recipe, config = work.recipe, work.weights.config
    healing = recipe.heal and (recipe.heal.precision, recipe.heal.lora)
    key = f"{config.to_json_string()} {recipe.device} {recipe.tune.precision} {recipe.tune.lora} {healing}"
    if key not in _known:
        with quietly(), torch.random.fork_rng():
            _known[key] = _measured(work, int(config.num_hidden_layers))
    return _known[key]


def _measured(work: Workload, layers: int) -> Speed:
    config = work.weights.config
    if parameter_count(config) <= SMALL:
        sizes = mac_sizes(config)
        around = int(config.hidden_size) * sizes.around / sizes.total()
        return Speed(*(Cost(around * each, (1 - around) * each) for each in _passes(work, layers)))
    one, two = _passes(work, 1), _passes(work, min(2, layers))
    costs = []
    for first, both in zip(one, two, strict=True):
        layer = min(max(both - first, both / 10), first)
        costs.append(Cost(first - layer, layers * layer))
    return Speed(*costs)


def _passes(work: Workload, layers: int) -> list[float]:
    """Seconds per token of each pass, for a model with the first `layers` layers."""
    recipe, config = work.recipe, work.weights.config
    shots = work.shots(work.tasks[0], every=True)[0][:SHOTS]
    questions = work.questions_of(work.tasks[0], tuned=True)[:SHOTS]
    pairs = [(choice.ids, choice.answer) for question in questions for choice in question.choices]
    prompts = prompts_of(shots)
    heal = recipe.heal
    length = max(2, min(heal.length + len(prompts[0]) // 2 if heal else 64, config.max_position_embeddings))
    texts = windows([[(7 * i + k) % embedding_rows(config) for i in range(length)] for k in range(SHOTS)])
    step = {"epochs": 1, "batch_size": SHOTS, "early_stop": None, "replay": None, "loss": {"answer": 1.0}}
    tune = recipe.tune.model_copy(update=step)
    healing = tune.model_copy(update={"precision": heal.precision} if heal else {})
    adapters = heal.lora if heal else tune.lora

    stored = _model(work, layers)
    score = _seconds(lambda: loglikelihoods(stored, pairs)) / tokens_of(questions)
    written = _seconds(lambda: write_texts(stored, work.tokenizer, prompts, TEXTS, NEW, 0)) / (TEXTS * NEW)
    learn = _trained(_model(work, layers, tune), shots, tune, tune.lora) / tokens_of(shots)
    text = _trained(_model(work, layers, healing), texts, healing, adapters) / (SHOTS * (length - 1))
    return [score, learn, text, written]


def _model(work: Workload, layers: int, training: Tune | None = None) -> PreTrainedModel:
    """The dense model's first layers with constant weights, in the precision of scoring or of `training`."""
    config = config_after(work.weights.config, {"layers": {MODEL: list(range(layers))}})
    dtype = work.weights.dtype(work.weights.names()[0])
    device = torch.device(device_named(work.recipe.device))
    if not training and work.recipe.evaluate.precision == "fp32":
        dtype = torch.float32
    if training:
        dtype = computing_dtype(dtype, training.precision, device)
    with no_init_weights():
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.tie_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.01)
    return model.to(device).eval()


def _trained(model: PreTrainedModel, shots: Sequence[Shot], settings: Tune, lora: Lora | None) -> float:
    """Seconds of one training step of adapters or, without `lora`, of all weights of the layers."""
    trained = attach(model, lora) if lora else unfreeze(model)
    return _seconds(lambda: fit(trained, Material(shots), settings, seed=0)[-1]["seconds"])


def _seconds(action: Callable[[], object]) -> float:
    """The seconds of the second call of `action`, measured or as returned by it."""
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        result = action()
        seconds = result if isinstance(result, float) else time.perf_counter() - started
        if seconds > LONG:
            break
    return seconds
