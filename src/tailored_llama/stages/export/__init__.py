"""Export: a standalone checkpoint with a model card; a tuned adapter is merged into the weights."""

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
@memory_for("export", "onnx holds the model in fp32: use a machine with more memory")
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
    """Write `model` to `out` as a release artefact and return `out`; a complete export is reused.

    `hf`: a standalone checkpoint in the precision of the base, in the plain or shaped form of the base, and a
    README.md with the original model, the cut and the tuned task. `gguf`: `model-<dtype>.gguf` for llama.cpp
    in `dtype` (f32, f16, bf16, q8_0) and the README.md, or a single file if `out` ends in .gguf. `onnx`: an
    fp32 graph, the tokenizer and the README.md. Other formats are plugins. There is no `settings` argument: a
    call writes one format, and the `export` section of a recipe lists the formats of a run.

    `adapter`: a tuned directory to merge, in fp32 (W + alpha/r B A; Hu et al. 2021, LoRA, eq. 3); with
    `base_unchecked`, which base it was trained on is not checked (for an adapter trained by another program).
    `results`: a results.json, or its contents, for the card. `push_to_hub`: the repository to upload the
    result to; by default nothing is uploaded. `allow_config`: unknown attributes of config.json to accept.
    A model in memory is not changed. It has no tokenizer, so it cannot be exported to gguf.

    Raises OutputError for an unknown format or an `out` with other contents, RecipeError for a `dtype` that
    does not fit, TuneError for an adapter of another base, CheckpointError for a model that cannot be read,
    has values that are not finite, or has a property that the format cannot represent.
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
    """CheckpointError if a token that the tokenizer prepends to every text has no row in the embedding."""
    try:
        tokenizer = checkpoint.load_tokenizer(source)
    except CheckpointError:  # no tokenizer, or one that needs custom code: its files are copied unread
        return
    check_ids(Encoder(tokenizer).before, embedding_rows(config), tokenizer, str(source))
