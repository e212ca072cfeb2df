"""The model card: the original model, the cut, the tuned task, the scores, and how to load the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData, try_to_load_from_cache
from transformers import PreTrainedConfig

from tailored_llama import checkpoint, families
from tailored_llama.checkpoint.lineage import CARD_KEYS, layers_before_and_after, what_was_cut
from tailored_llama.reporting.layer_widths import draw_layers, in_words, residual_in_words
from tailored_llama.results import Cut, Results, Row, ShotsRecord
from tailored_llama.stages.export import recipe_section
from tailored_llama.stages.export.format import format_named
from tailored_llama.stages.export.markdown import block, code, inline, table
from tailored_llama.stages.export.recipe_section import without_places
from tailored_llama.strict_json import Json

PICTURE = "layers.png"


@dataclass(frozen=True)
class Origin:
    """Source of an exported model: its name and directory (None in memory), and its adapter's directory."""

    model: str | None
    directory: Path | None
    adapter: Path | None

    @property
    def cut(self) -> Cut | None:
        """The record of all cuts since the original model."""
        return what_was_cut(self.directory) if self.directory else None

    @property
    def shots(self) -> ShotsRecord | None:
        """The record of the tuning: beside the adapter, or in a merged directory."""
        folders = (self.adapter.parent if self.adapter else None, self.directory)
        paths = (folder / ShotsRecord.file for folder in folders if folder)
        return next((checkpoint.read_record(ShotsRecord, path) for path in paths if path.is_file()), None)

    @property
    def base(self) -> str | None:
        """The name of the original model."""
        return (self.cut and self.cut.source.model) or self.model

    def contents(self, results: Results | None) -> dict[str, Json]:
        """What the card shows in addition to the model's sizes, without directory paths."""
        cut, shots = self.cut, self.shots
        untimed = {"rows": {"__all__": {"seconds", "peak_memory", "peak_gpu_memory"}}}
        rows = results.model_dump(mode="json", exclude_unset=True, exclude=untimed)["rows"] if results else []
        return {
            "plan": _names(cut.to_json() if cut else {}),
            "shots": shots.to_json() if shots else {},
            "results": _names([rows, results.recipe if results else None]),
        }

    @property
    def hub_id(self) -> str | None:
        """The base's hub id; None for a local path, which means nothing to other readers."""
        return checkpoint.hub_id(self.base) if self.base else None


def _names(value: Any) -> Any:
    """`value` with every string, in keys and values, reduced to the last part of a path."""
    if isinstance(value, Mapping):
        return {_names(key): _names(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_names(entry) for entry in value]
    return Path(value).name if isinstance(value, str) else value


def card(
    name: str, config: PreTrainedConfig, origin: Origin, results: Results | None, form: str = "hf"
) -> str:
    """The text of README.md for a model called `name`; `results` as in results.json, or None.

    It shows PICTURE, which `picture` draws, if the widths before the cut are known.
    """
    sections = [
        f"---\n{_front_matter(origin).to_yaml()}\n---\n\n# {inline(name)}",
        _summary(config, origin),
        _widths(config, origin),
        _tuning(origin.shots),
        _results(results),
        f"## Loading\n\n{format_named(form).loading(config)}",
        recipe_section.section(
            recipe_section.recipe(origin.base, origin.cut, origin.shots, results.recipe if results else {}),
            form,
        ),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(origin: Origin) -> ModelCardData:
    base = _base_card(origin)
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=[*(["pruned"] if origin.cut else []), "tailored-llama"],
        base_model=origin.hub_id,
        **{key: base[key] for key in CARD_KEYS if base.get(key)},
    )


def _base_card(origin: Origin) -> Mapping[str, Json]:
    """Licence and language from the card of the base: beside the model, from the plan of the first cut, or
    from the hub's cache.
    """
    places = [origin.directory] if origin.directory else []
    if origin.base and Path(origin.base).is_absolute():
        places.append(Path(origin.base))
    if origin.hub_id:
        cached = try_to_load_from_cache(origin.hub_id, "README.md")
        places += [Path(cached).parent] if isinstance(cached, str) else []
    recorded = origin.cut.source.card if origin.cut else None
    cards = [checkpoint.front_matter(place) for place in places]
    return next((card for card in [*cards[:1], recorded, *cards[1:]] if card), {})


def _summary(config: PreTrainedConfig, origin: Origin) -> str:
    params = families.parameter_count(config)
    lines = [code(_name(origin)) if origin.base else "A model"]
    cut, shots = origin.cut, origin.shots
    if cut is not None and cut.params is not None:
        before, after = cut.params.before, cut.params.after
        lines.append(f"cut from {before:,} to {after:,} parameters ({1 - after / before:.1%} gone)")
        criterion = cut.settings.get("criterion")
        lines.append(f"by the criterion {inline(str(criterion))}" if criterion else "")
    if shots is not None:
        lines.append(f"tuned to the task {inline(shots.task)} on {len(shots.rows)} examples")
    text = ", ".join(line for line in lines if line)
    return (
        f"{text}. It has {params:,} parameters and takes {families.mac_count(config):,} MACs for 64 tokens."
    )


def picture(config: PreTrainedConfig, origin: Origin, path: Path) -> bool:
    """Draw the remaining width of every layer to the PNG `path`; False, and no file, if the widths before
    the cut are unknown.
    """
    layers = layers_before_and_after(origin.cut, config) if origin.cut else None
    if layers is None:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.8), layout="constrained")
    panels = figure.subplots(1, 2)
    draw_layers(panels, *layers, colour="#0072b2")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    # Without matplotlib's version, so that equal cuts give equal bytes.
    figure.savefig(path, dpi=140, metadata={"Software": None})
    return True


def _name(origin: Origin) -> str:
    """The base's hub id, or the last part of a local path."""
    return checkpoint.public_name(origin.base or "")


def _widths(config: PreTrainedConfig, origin: Origin) -> str:
    layers = layers_before_and_after(origin.cut, config) if origin.cut else None
    shown = f"![{in_words(*layers)}]({PICTURE})\n\n" if layers else ""
    runs = []
    for width, run in groupby(enumerate(families.widths(config)), key=lambda pair: pair[1]):
        numbers = [layer for layer, _ in run]
        span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
        runs.append((span, width.heads, width.kv_heads, width.mlp))
    title = "What was cut" if origin.cut else "Widths"
    widths = table(("layers", "query heads", "KV heads", "MLP channels"), runs)
    residual = residual_in_words(origin.cut or Cut(), config)
    return f"## {title}\n\n{shown}{widths}" + (f"\n\n{residual}." if residual else "")


def _tuning(shots: ShotsRecord | None) -> str:
    if shots is None:
        return ""
    text = f"## Tuning\n\nLoRA on {len(shots.rows)} examples of {inline(shots.task)}, "
    names = ", ".join(map(code, shots.wordings))
    text += f"wordings {names} in turn." if names else f"wording {code(shots.prompt)}."
    if shots.example is not None:
        text += f" One of them, with its answer:\n\n{block(shots.example.context + shots.example.answer)}"
    return text


def _results(results: Results | None) -> str:
    rows = results.rows if results else ()
    if results is None or not rows:
        return ""
    tasks = list(dict.fromkeys(task for row in rows for task in row.tasks))
    corpora = list(dict.fromkeys(text for row in rows for text in row.perplexity))
    columns: dict[str, Callable[[Row], float | None]] = {"mean": lambda row: row.mean}
    if any(row.without_below_chance for row in rows):
        columns["mean without"] = _mean_without
    columns |= {"recovery": lambda row: row.recovery, "above chance": lambda row: row.recovery_above_chance}
    if any(row.above_chance_of_dense_tuned is not None for row in rows):
        columns["above chance, of dense, tuned"] = lambda row: row.above_chance_of_dense_tuned
    head = (
        "model", "tuned to", "wording", "parameters", "MACs", *tasks, *columns,
        *(f"perplexity, {without_places(text)}" for text in corpora),
    )  # fmt: skip
    body = []
    for row in rows:
        line = [row.stage.replace("_", ", "), row.task_tuned or "", row.prompt]
        line += [f"{row.params:,}", f"{row.macs:,}"]
        line += [_percent(row.tasks[task].main if task in row.tasks else None) for task in tasks]
        line += [_percent(value(row)) for value in columns.values()]
        body.append([*line, *(_perplexity(row, text) for text in corpora)])
    if results.majority:
        scores = [_percent(results.majority_of(task)) for task in tasks]
        line = ["majority", *[""] * 4, *scores, _percent(results.majority.mean)]
        body.append(line + [""] * (len(head) - len(line)))
    return f"## Results\n\n{table(head, body)}\n\n{_notes(results)}"


def _mean_without(row: Row) -> float | None:
    return row.without_below_chance.mean if row.without_below_chance else row.mean


def _notes(results: Results) -> str:
    """What the figures are of: chance, the baseline, and the tasks that one mean leaves out."""
    note = "Each task by its main metric, in per cent; chance: "
    chances = {task: figures.chance for row in results.rows for task, figures in row.tasks.items()}
    note += ", ".join(f"{inline(task)} {_percent(chance)}" for task, chance in chances.items()) + "."
    if results.majority:
        note += " Majority: the commonest label of the shots as every answer, or chance without fixed labels."
    calibrated = dict.fromkeys(
        name for row in results.rows for name, entry in row.tasks.items() if entry.uncalibrated is not None
    )
    if calibrated:
        note += f" With batch calibration: {', '.join(map(inline, calibrated))}."
    for wording in dict.fromkeys(row.prompt for row in results.rows):
        names = {
            name for row in results.rows
            if row.prompt == wording and row.without_below_chance for name in row.without_below_chance.tasks
        }  # fmt: skip
        if names:
            listed = ", ".join(inline(task) for task in chances if task in names)
            note += (
                f" Mean without, in the wording {inline(wording)}: without {listed}, where the dense model"
            )
            note += " is below chance."
    return note


def _perplexity(row: Row, text: str) -> str:
    figures = row.perplexity.get(text)
    return f"{figures.perplexity:.2f}" if figures else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
