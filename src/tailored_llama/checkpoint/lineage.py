"""The history of a model: what was pruned and how, and the stage that it represents in results.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from pydantic import JsonValue
from transformers import PreTrainedConfig, PreTrainedModel

from tailored_llama import families
from tailored_llama.checkpoint.files import read_json
from tailored_llama.checkpoint.open import load_config
from tailored_llama.checkpoint.resolve import public_name, resolve
from tailored_llama.errors import SHOWN, CheckpointError, TailorError
from tailored_llama.families import LayerWidths
from tailored_llama.results import Cut, Parameters, PlanSource, parse

CUT = "cut.json"
CARD_KEYS = ("license", "license_name", "license_link", "language")
GONE = LayerWidths(0, 0, 0)
"""The widths of a removed layer."""


def layers_before_and_after(
    cut: Cut, config: PreTrainedConfig
) -> tuple[list[LayerWidths], list[LayerWidths]] | None:
    """Widths of the layers before the `cut`, and after it in `config`, the config of the result.

    None if the widths before the cut are unknown: neither the cut nor `config` has them, and the base is not
    on this disk.
    """
    after = families.widths(config)
    dense = local_config(cut.source.model)
    if cut.source.layers is not None:
        before = [LayerWidths(*layer) for layer in cut.source.layers]
    elif dense is not None:
        before = list(families.widths(dense))
    elif hasattr(config, "layer_widths"):  # the shaped form also stores the dense widths
        full = LayerWidths(config.num_attention_heads, config.num_key_value_heads, config.intermediate_size)
        before = [full] * (config.num_hidden_layers if cut.layers is None else max(cut.layers) + 1)
    else:
        return None
    kept = range(len(before)) if cut.layers is None else cut.layers
    if len(kept) != len(after):
        return None  # the base on this disk is not the model that was cut
    remaining = dict(zip(kept, after, strict=True))
    return before, [remaining.get(layer, GONE) for layer in range(len(before))]


def what_was_cut(directory: str | Path) -> Cut | None:
    """The combined cuts of the model in `directory`; None if nothing is known.

    For a single cut this is its plan.json. A model that was cut repeatedly, or healed, has a file CUT:
    `source`, `params`, `settings`, `heal` and, if layers were removed, `kept.layers`, relative to the
    original model. A plan that has not been applied to the model next to it does not count.
    """
    for name in (CUT, "plan.json"):
        path = Path(directory) / name
        if path.is_file():
            content = read_json(path)
            try:
                cut = parse(Cut, path, content)
            except CheckpointError:
                if name == CUT:
                    raise
                return None  # a file of another program
            sizes = cut.params
            if sizes is None or sizes.before == sizes.after:
                return cut
            not_applied = sizes.before == families.parameter_count(_any_config(directory))
            return None if not_applied else cut
    return None


def stage_of(model: str | Path | PreTrainedModel, *, adapter: bool = False) -> str:
    """The stage of a model in results.json: dense, pruned, healed, tuned, or dense_tuned (nothing was cut).

    Determined from its recorded cuts, the stage that wrote its directory, and whether it has an `adapter`. If
    only the config is known, the model counts as pruned if its layers differ in width.
    """
    stage, known = None, None
    if isinstance(model, PreTrainedModel):
        config = model.config
    else:
        config = local_config(model)
        if Path(model).is_dir():
            stage, known = _written_by(Path(model)), what_was_cut(model)
    healed = stage == "healed" or (known is not None and known.heal is not None)
    cut = known is not None or hasattr(config, "layer_widths") or stage in ("pruned", "healed", "tuned")
    if adapter or stage in ("tuned", "dense_tuned", "tune"):
        return "tuned" if cut else "dense_tuned"
    return "healed" if healed else "pruned" if cut else "dense"


def _written_by(directory: Path) -> str | None:
    """The stage of the model in `directory` according to its manifest; `tune` if cuts are not recorded."""
    path = directory / "manifest.json"
    manifest: Any = read_json(path) if path.is_file() else {}
    if manifest.get("stage") == "export":
        return str(manifest.get("settings", {}).get("of"))
    return {"prune": "pruned", "heal": "healed", "tune": "tune"}.get(str(manifest.get("stage")))


def source_of(model: str | Path, directory: Path, config: PreTrainedConfig, digest: str) -> PlanSource:
    """The `source` entry of a plan: the model's name without its path, its digest, and what the model card of
    the result quotes.
    """
    front = front_matter(directory)
    return PlanSource(
        model=public_name(model), digest=digest, layers=[list(layer) for layer in families.widths(config)],
        hidden=config.hidden_size, **({"card": front} if front else {}),
    )  # fmt: skip


def front_matter(directory: Path) -> dict[str, JsonValue]:
    """Licence and language in the model card of `directory`; empty if there is no readable card."""
    try:
        front = ModelCard((directory / "README.md").read_text(encoding="utf-8")).data.to_dict()
    except Exception:  # a malformed card must not stop the run
        return {}
    texts = {key: value for key, value in front.items() if key in CARD_KEYS and value}
    return {key: value for key, value in texts.items() if len(str(value)) <= SHOWN}


def one_after_another(first: Cut, then: Cut) -> Cut:
    """Two cuts combined into one: `then` is a plan for the result of `first`."""
    assert first.params is not None
    assert then.params is not None
    remaining = (1 - first.ratio) * (1 - then.ratio)
    kept = first.layers if then.layers is None else then.layers
    if first.layers is not None and then.layers is not None:
        kept = [first.layers[layer] for layer in then.layers]
    return Cut(
        source=first.source,
        params=Parameters(before=first.params.before, after=then.params.after),
        settings={**then.settings, "ratio": round(1 - remaining, 6)},
        kept={} if kept is None else {"layers": kept},
        **({} if first.heal is None else {"heal": first.heal}),
    )


def local_config(model: str | Path | None) -> PreTrainedConfig | None:
    """The config of a model that is available locally, else None; nothing is downloaded."""
    if model is None:
        return None
    if model != "world" and not Path(model).is_dir():
        try:
            cached = try_to_load_from_cache(str(model), "config.json")
        except HFValidationError:  # a path that does not exist any more: version 0.1 recorded whole paths
            return None
        if not isinstance(cached, str):
            return None
        model = Path(cached).parent
    try:
        return _any_config(model)
    except TailorError:
        return None


def _any_config(model: str | Path) -> PreTrainedConfig:
    """The config of a model, with unknown attributes accepted: it is only used to count parameters."""
    return load_config(model, allow_config=list(read_json(resolve(model) / "config.json")))
