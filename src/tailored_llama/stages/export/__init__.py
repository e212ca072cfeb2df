"""Export: a checkpoint, with a tuned adapter folded in, that stands on its own; with a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedModel

from tailored_llama import checkpoint
from tailored_llama.checkpoint.lineage import stage_of
from tailored_llama.data.tokens import Encoder, check_ids
from tailored_llama.errors import CheckpointError, OutputError
from tailored_llama.memory import memory_for
from tailored_llama.plugins import FORMATS, problem
from tailored_llama.results import Results, read_results
from tailored_llama.scoring import embedding_rows
from tailored_llama.stage import Out, Slot, Stage, complete
from tailored_llama.stage.inputs import digest_of, merged, model_inputs, plugin_inputs
from tailored_llama.stages.export import hub
from tailored_llama.stages.export.card import PICTURE, Origin, card, picture
from tailored_llama.stages.export.format import format_named
from tailored_llama.strict_json import Json

__all__ = ["export", "format_named"]


@checkpoint.takes_allow_config
@memory_for("export", "a merge and onnx hold the model in fp32: use a machine with more memory")
def export(
    model: str | Path | PreTrainedModel,
    *,
    to: str = "hf",
    adapter: str | Path | None = None,
    base_unchecked: bool = False,
    out: Out,
    dtype: str = "f16",
    results: str | Path | Results | Mapping[str, Json] | None = None,
    push_to_hub: str | None = None,
    allow_config: Sequence[str] = (),
) -> Path:
    """Write `model` to `out` as a release artefact and return `out`; what is complete is not written again.

    `hf`: a standalone checkpoint in the precision of the base, plain or shaped as the base is, and a
    README.md that says what it was, what was cut and what it was tuned to. `gguf`: `model-<dtype>.gguf` for
    llama.cpp in `dtype` (f32, f16, bf16, q8_0), with the README.md; or, where `out` ends in .gguf, that one
    file. `onnx`: an fp32 graph, with tokenizer and README.md. Others are plugins. There is no `settings`: a
    call writes one format, while a recipe's `export` section lists those of a run.

    `adapter`: a tuned directory to fold in, in fp32 (W + alpha/r B A; Hu et al. 2021, LoRA, eq. 3); with
    `base_unchecked` without a look at which base it was trained on, as for one that another program trained.
    `results`: a results.json, or its contents, for the card. `push_to_hub`: the repository to upload the
    result to; without it nothing leaves this machine. `allow_config`: attributes of config.json to accept
    that no table knows. A model in memory is left as it was, and goes without a tokenizer (so not to gguf,
    which needs one).

    Raises OutputError for an unknown format or an `out` that holds something else, RecipeError for a `dtype`
    that does not fit, TuneError for an adapter of another base, CheckpointError for a model that cannot be
    read, is not finite, or has something that the format cannot say.
    """
    if push_to_hub is not None:
        hub.check_name(push_to_hub)
    place = out if isinstance(out, Slot) else Path(out)
    written = _export(model, to, adapter, base_unchecked, place, dtype, results)
    if push_to_hub is not None:
        hub.push(written, push_to_hub)
    return written


def _export(
    model: str | Path | PreTrainedModel,
    to: str,
    adapter: str | Path | None,
    base_unchecked: bool,
    out: Path | Slot,
    dtype: str,
    results: str | Path | Results | Mapping[str, Json] | None,
) -> Path:
    unknown = problem(FORMATS, to)
    if unknown:
        raise OutputError(unknown)
    form = format_named(to)
    if form.holds_tokenizer and isinstance(model, PreTrainedModel):
        raise CheckpointError(f"{to} holds its tokenizer: export from a directory that has one")
    source = None if isinstance(model, PreTrainedModel) else checkpoint.resolve(model)
    base = checkpoint.open_weights(model if source is None else source)
    folder = checkpoint.named_adapter(adapter, base_unchecked=base_unchecked)
    rows = _results(results)
    origin = Origin(model=None if source is None else str(model), directory=source, adapter=folder)
    about = {key: digest_of(value) for key, value in origin.contents(rows).items()}
    readers = [model_inputs("model", model if source is None else source), lambda: about]
    readers.append(lambda: plugin_inputs(FORMATS, [to]))
    if folder is not None:
        readers.append(lambda: {"adapter": checkpoint.adapter_digest(folder)})
    if source is not None and not form.holds_tokenizer:
        _check_tokenizer(source, base.config)

    def weights() -> checkpoint.Weights:
        if folder is None:
            return base
        return checkpoint.merge_weights(base, folder, base_unchecked=base_unchecked)

    if form.suffix and isinstance(out, Path) and out.suffix == form.suffix:
        form.write(weights(), out, source=source, dtype=dtype)
        return out

    def produce(partial: Path) -> None:
        file = f"model-{dtype}{form.suffix}" if form.dtypes else f"model{form.suffix}"
        form.write(weights(), partial / file if form.suffix else partial, source=source, dtype=dtype)
        name = out.name if isinstance(out, Slot) else out.resolve().name
        checkpoint.write_text(partial / "README.md", card(name, base.config, origin, rows, to))
        picture(base.config, origin, partial / PICTURE)

    settings = {
        "to": to, "dtype": dtype if form.dtypes else None, "base_unchecked": base_unchecked,
        "of": stage_of(model if source is None else source, adapter=folder is not None),
    }  # fmt: skip
    return complete(Stage("export", settings, merged(readers), produce), out)


def _results(results: str | Path | Results | Mapping[str, Json] | None) -> Results | None:
    if isinstance(results, str | Path):
        return read_results(results, checkpoint.read_json(results))
    if results is None or isinstance(results, Results):
        return results
    return read_results("results", results) if results else None


def _check_tokenizer(source: Path, config: PreTrainedConfig) -> None:
    """CheckpointError if what the tokenizer puts before every text has no row in the model's embedding."""
    try:
        tokenizer = checkpoint.load_tokenizer(source)
    except CheckpointError:  # there is none, or one that needs code of its own: its files are copied unread
        return
    check_ids(Encoder(tokenizer).before, embedding_rows(config), tokenizer, str(source))
