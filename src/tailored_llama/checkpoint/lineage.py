"""What a model has been through: what was cut of it and how, and which row of a results.json it makes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, try_to_load_from_cache
from transformers import PreTrainedConfig, PreTrainedModel

from tailored_llama import families
from tailored_llama.checkpoint.files import read_json
from tailored_llama.checkpoint.open import load_config
from tailored_llama.checkpoint.resolve import public_name, resolve
from tailored_llama.errors import SHOWN, TailorError
from tailored_llama.families import LayerWidths

CUT = "cut.json"
CARD_KEYS = ("license", "license_name", "license_link", "language")
GONE = LayerWidths(0, 0, 0)
"""A layer that was cut whole."""


def layers_before_and_after(
    plan: Mapping[str, Any], config: PreTrainedConfig
) -> tuple[list[LayerWidths], list[LayerWidths]] | None:
    """Widths of the layers of the model that `plan` cut, and what `config`, the result's, has left of each.

    None where the first are not known: neither the plan nor `config` has them, nor is the base on this disk.
    """
    after = families.widths(config)
    dense = local_config(plan.get("source", {}).get("model"))
    noted = plan.get("source", {}).get("layers")
    if isinstance(noted, list):
        before = [LayerWidths(*(int(width) for width in layer)) for layer in noted]
    elif dense is not None:
        before = list(families.widths(dense))
    elif hasattr(config, "layer_widths"):  # the shaped form keeps the dense numbers beside its own
        whole = LayerWidths(config.num_attention_heads, config.num_key_value_heads, config.intermediate_size)
        kept = plan.get("kept", {}).get("layers")
        before = [whole] * (config.num_hidden_layers if kept is None else max(kept) + 1)
    else:
        return None
    kept = plan.get("kept", {}).get("layers", range(len(before)))
    if len(kept) != len(after):
        return None  # a base of that name, but not the one that was cut
    left = dict(zip(kept, after, strict=True))
    return before, [left.get(layer, GONE) for layer in range(len(before))]


def what_was_cut(directory: str | Path) -> dict[str, Any]:
    """What is gone of the model in `directory`, all its cuts together; empty where nothing is known.

    Of one cut that is its plan.json. A model that was cut more than once, or healed since, has CUT beside it:
    `source`, `params`, `settings`, `heal` and, where whole layers went, `kept.layers` of the model all began
    with. A plan that lies beside the very model it is to cut says nothing of how that came about.
    """
    for name in (CUT, "plan.json"):
        path = Path(directory) / name
        if path.is_file():
            told = dict(read_json(path))
            sizes = told.get("params", {})
            if sizes.get("before") in (None, sizes.get("after")):
                return told
            ahead = sizes["before"] == families.parameter_count(_any_config(directory))
            return {} if ahead else told
    return {}


def stage_of(model: str | Path | PreTrainedModel, *, adapter: bool = False) -> str:
    """The stage of a model in results.json: dense, pruned, healed, tuned, or dense_tuned (nothing was cut).

    By what was cut of it, by the stage that wrote its directory, and by an `adapter` on it. A model of which
    only the config is known is cut where its layers differ in width.
    """
    stage, told = None, dict[str, Any]()
    if isinstance(model, PreTrainedModel):
        config = model.config
    else:
        config = local_config(model)
        if Path(model).is_dir():
            stage, told = _written_by(Path(model)), what_was_cut(model)
    healed = stage == "healed" or "heal" in told
    cut = bool(told) or hasattr(config, "layer_widths") or stage in ("pruned", "healed", "tuned")
    if adapter or stage in ("tuned", "dense_tuned", "tune"):
        return "tuned" if cut else "dense_tuned"
    return "healed" if healed else "pruned" if cut else "dense"


def _written_by(directory: Path) -> str | None:
    """The stage of the model in `directory` as its manifest tells, `tune` where it does not know of a cut."""
    path = directory / "manifest.json"
    manifest = read_json(path) if path.is_file() else {}
    if manifest.get("stage") == "export":
        return str(manifest.get("settings", {}).get("of"))
    return {"prune": "pruned", "heal": "healed", "tune": "tune"}.get(str(manifest.get("stage")))


def source_of(model: str | Path, directory: Path, config: PreTrainedConfig, digest: str) -> dict[str, Any]:
    """What a plan says of the model it is for: its name, without the place where it lies, its digest, and
    what a card of the result shows of it.
    """
    front = front_matter(directory)
    return {
        "model": public_name(model),
        "digest": digest,
        "layers": [list(layer) for layer in families.widths(config)],
        "hidden": config.hidden_size,
        **({"card": front} if front else {}),
    }


def front_matter(directory: Path) -> dict[str, Any]:
    """Licence and language in the model card of `directory`; empty where there is none that can be read."""
    try:
        front = ModelCard((directory / "README.md").read_text(encoding="utf-8")).data.to_dict()
    except Exception:  # somebody else's card, broken in whatever way, must stop nothing
        return {}
    texts = {key: value for key, value in front.items() if key in CARD_KEYS and value}
    return {key: value for key, value in texts.items() if len(str(value)) <= SHOWN}


def one_after_another(first: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    """Two cuts as one: `then` is the plan for what `first` left."""
    before, after = first["params"]["before"], then["params"]["after"]
    left = (1 - first["settings"].get("ratio", 0)) * (1 - then["settings"].get("ratio", 0))
    layers = [cut.get("kept", {}).get("layers") for cut in (first, then)]
    kept = layers[0] if layers[1] is None else layers[1]
    if None not in layers:
        kept = [layers[0][layer] for layer in layers[1]]
    return {
        "source": first["source"],
        "params": {"before": before, "after": after},
        "settings": {**then["settings"], "ratio": round(1 - left, 6)},
        "kept": {} if kept is None else {"layers": kept},
        **({"heal": first["heal"]} if "heal" in first else {}),
    }


def local_config(model: str | Path | None) -> PreTrainedConfig | None:
    """The config of a model that is at hand; none is fetched from the hub for a picture."""
    if model is None:
        return None
    if model != "world" and not Path(model).is_dir():
        cached = try_to_load_from_cache(str(model), "config.json")
        if not isinstance(cached, str):
            return None
        model = Path(cached).parent
    try:
        return _any_config(model)
    except TailorError:
        return None


def _any_config(model: str | Path) -> PreTrainedConfig:
    """The config of a model that is only counted here: attributes that no table knows do not matter."""
    return load_config(model, allow_config=list(read_json(resolve(model) / "config.json")))
