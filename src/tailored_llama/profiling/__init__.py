"""`tailor measure`: sizes and speeds of several models, measured side by side in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from tailored_llama.errors import RecipeError
from tailored_llama.machine import check_device
from tailored_llama.recipe import Measure, settings_of
from tailored_llama.recipe.keywords import MeasureKeys
from tailored_llama.results import MeasuredModel, Measurement, MeasureSettings, SizeRatios

__all__ = ["BACKENDS", "FILE", "measure"]

BACKENDS = ("transformers", "llama.cpp")
FILE = Measurement.file


def measure(
    models: str | Path | Sequence[str | Path],
    *,
    settings: Measure | None = None,
    allow_config: Sequence[str] = (),
    out: str | Path | None = None,
    **overrides: Unpack[MeasureKeys],
) -> Measurement:
    """Sizes from the config and, unless `config_only`, measured speeds: medians over `repeats`.

    `models`: a directory, a hub id or `world`, or several of them, the dense one first. Models in memory are
    not supported, because each model is measured in its own process. `settings`: the fields of `Measure`;
    `overrides`: single fields (`batches=[1, 4]`).

    The result has one entry in `models` per model, in the given order. `macs` are for one sequence of
    `length` tokens; `ratios` are relative to the first model. `speeds` has an entry for each of `backends`
    and `batches`: a batch of prompts of `length` tokens is processed (`first_token_seconds`,
    `prefill_tokens_per_second`) and each prompt continued greedily by `new` tokens
    (`decode_tokens_per_second`, over all rows, after the first token); `peak_memory` is that of the measuring
    process, in bytes. transformers runs in the precision of the checkpoint, llama.cpp on a GGUF file in
    `dtype`. The models alternate at each repeat.

    With `out`, the result is also written to measure.json there; an existing result for the same settings
    and files is returned at once. `allow_config` names unknown attributes of config.json to accept. Raises
    CheckpointError for a missing model, FamilyError for an unsupported one, RecipeError for invalid settings,
    TailorError without the extra `llamacpp`, OutputError.
    """
    # Imported here: the process that measures llama.cpp imports this package and should not load torch.
    from tailored_llama import checkpoint
    from tailored_llama.profiling.sizes import sizes
    from tailored_llama.stage import Stage, complete, versions
    from tailored_llama.stage.inputs import merged, model_inputs

    chosen = settings_of(Measure, settings, "measure", **overrides)
    named = [models] if isinstance(models, str | Path) else list(models)
    _check(named, chosen)
    plain = chosen.model_dump(mode="json")
    how = MeasureSettings.model_validate({"models": [str(model) for model in named], **plain})

    def result() -> Measurement:
        with checkpoint.accepting(allow_config):
            return measured()

    def measured() -> Measurement:
        facts = [sizes(model, chosen.length, config_only=chosen.config_only) for model in named]
        if not chosen.config_only:
            from tailored_llama.profiling.speeds import speeds

            timed = zip(facts, speeds(named, chosen), strict=True)
            facts = [fact.model_copy(update={"speeds": speed}) for fact, speed in timed]
        compared = [fact.model_copy(update={"ratios": ratios(fact, facts[0])}) for fact in facts]
        return Measurement(models=compared, settings=how, versions=versions())

    if out is None:
        return result()

    def inputs() -> dict[str, str]:
        numbered = enumerate(map(checkpoint.resolve, named), start=1)
        return merged(model_inputs(f"model {n}", model) for n, model in numbered)()

    def produce(folder: Path) -> None:
        checkpoint.write_json(folder / FILE, result().to_json())

    stored = checkpoint.read_record(
        Measurement, complete(Stage("measure", plain, inputs, produce), out) / FILE
    )
    # A stored result may have other paths or names of the same models.
    renamed = [
        fact.model_copy(update={"model": str(model)})
        for fact, model in zip(stored.models, named, strict=True)
    ]
    return stored.model_copy(update={"models": renamed, "settings": how})


def ratios(fact: MeasuredModel, first: MeasuredModel) -> SizeRatios:
    """Sizes relative to those of the first model."""
    return SizeRatios(
        params=fact.params / first.params, macs=fact.macs / first.macs,
        weights_bytes=fact.weights_bytes / first.weights_bytes,
    )  # fmt: skip


def _check(models: Sequence[str | Path], chosen: Measure) -> None:
    if not models:
        raise RecipeError("no model to measure; name at least one directory or hub id")
    for backend in chosen.backends:
        if backend not in BACKENDS:
            raise RecipeError(f"--backend: unknown backend '{backend}'; known: {', '.join(BACKENDS)}")
    check_device(chosen.device)
    if not chosen.backends or not chosen.batches:
        raise RecipeError("--backend and --batch: name at least one of each")
    if min(chosen.batches) < 1 or chosen.repeats < 1 or chosen.new < 2:
        raise RecipeError("--batch and --repeats must be at least 1, --new at least 2")
