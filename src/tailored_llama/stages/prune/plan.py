"""A plan as JSON data: the model, its kept units, the resulting size, and the settings."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from transformers import PreTrainedConfig

from tailored_llama.checkpoint import check_file, write_text
from tailored_llama.errors import CheckpointError, OutputError, PlanError
from tailored_llama.families import MODEL, Group, Kept, Kind, groups
from tailored_llama.results import PlanSource, parse
from tailored_llama.strict_json import Json, to_json


@dataclass(frozen=True)
class Plan:
    """Kept units of the model in `source`.

    `params` counts parameters {"before": n, "after": n}; `settings` are the resolved settings and the seed.
    """

    source: PlanSource
    kept: Kept
    params: Mapping[str, int]
    settings: Mapping[str, Json]

    def to_json(self) -> str:
        """JSON with one line per layer, so that plans can be compared line by line."""
        kinds = []
        for kind, layers in self.kept.items():
            if MODEL in layers:
                kinds.append(f'    "{kind}": {to_json(layers[MODEL])}')
                continue
            lines = [f'      "{layer}": {to_json(units)}' for layer, units in sorted(layers.items())]
            kinds.append(f'    "{kind}": {{\n' + ",\n".join(lines) + "\n    }")
        kept = "{\n" + ",\n".join(kinds) + "\n  }" if kinds else "{}"
        fields = {
            "source": _block(self.source.to_json()),
            "kept": kept,
            "params": _block(self.params),
            "settings": _block(self.settings),
        }
        return "{\n" + ",\n".join(f'  "{name}": {text}' for name, text in fields.items()) + "\n}\n"

    @property
    def digest(self) -> str:
        """sha256 of the plan's JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def accepted(self) -> list[str]:
        """The unknown config attributes that were accepted when the plan was made."""
        names = self.settings.get("allow_config", [])
        return list(map(str, names)) if isinstance(names, list | tuple) else []

    @classmethod
    def from_json(cls, text: str, where: str = "plan") -> Plan:
        """Read a plan. Raises PlanError with `where` and the problem."""
        try:
            data = json.loads(text)
            kept: Kept = {}
            for kind, layers in data["kept"].items():
                if kind not in get_args(Kind):
                    raise PlanError(f"{where}: kept: cannot cut '{kind}'; known: {', '.join(get_args(Kind))}")
                by_layer = {MODEL: layers} if isinstance(layers, list) else layers
                kept[cast(Kind, kind)] = {int(layer): _units(units) for layer, units in by_layer.items()}
            source = parse(PlanSource, where, data["source"])
            return cls(source, kept, dict(data["params"]), dict(data["settings"]))
        except PlanError:
            raise
        except CheckpointError as error:
            raise PlanError(f"{error}; write one with `tailor plan`") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PlanError(
                f"{where}: not a plan ({type(error).__name__}: {error}); write one with `tailor plan`"
            ) from None

    def save(self, path: str | Path) -> None:
        """Write the plan to a file."""
        write_text(path, self.to_json())

    @classmethod
    def check_place(cls, path: str | Path) -> None:
        """OutputError if a plan cannot be saved at `path`, or would replace a file that is not a plan."""
        check_file(path)
        if Path(path).exists():
            try:
                cls.load(path)
            except PlanError:
                raise OutputError(f"{path} exists and is not a plan; name another file") from None

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan from a file. Raises PlanError."""
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(
                f"{path}: cannot be read as a plan ({error}); write one with `tailor plan`"
            ) from None

    def check(self, config: PreTrainedConfig, name: str, digest: str | None) -> None:
        """PlanError unless the plan is for this model: compares digests if both are known, layers
        and units.
        """
        made_for = self.source.digest
        if digest and made_for and digest != made_for:
            raise PlanError(
                f"the plan is of {self.source.model} (digest {made_for[:12]}), not of {name} "
                f"(digest {digest[:12]}); plan again with `tailor plan`"
            )
        model_groups = {(group.kind, group.layer): group for group in groups(config)}
        for kind, layers in self.kept.items():
            for layer, kept in layers.items():
                if (kind, layer) not in model_groups:
                    place = "the whole model" if layer == MODEL else f"layer {layer}"
                    raise PlanError(
                        f"the plan keeps {kind} of {place}, which {name} does not have; plan again"
                    )
                units = model_groups[kind, layer].units
                if not kept or kept != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= units:
                    place = "" if layer == MODEL else f" of layer {layer}"
                    raise PlanError(
                        f"the plan's {kind}{place} are not ascending indices below {units}, the number that "
                        f"{name} has; plan again"
                    )
                if kind == "query_heads":
                    self._check_queries(model_groups[kind, layer], name)

    def _check_queries(self, group: Group, name: str) -> None:
        """All kept KV heads must keep the same number of query heads, as transformers requires."""
        size = group.units // group.blocks
        counts = Counter(unit // size for unit in self.kept["query_heads"][group.layer])
        query_counts = {
            counts[head] for head in self.kept.get("heads", {}).get(group.layer, range(group.blocks))
        }
        if len(query_counts) > 1 or 0 in query_counts:
            raise PlanError(
                f"the plan's query_heads of layer {group.layer} leave {sorted(query_counts)} query heads to "
                f"the KV heads of {name}; every one needs the same number: plan again"
            )


def save_trajectory(plans: Mapping[float, Plan], directory: Path, prefix: str = "trajectory/plan") -> None:
    """Write the plan of each ratio as `trajectory/plan-0.20.json` and so on."""
    for ratio, plan in sorted(plans.items()):
        path = directory / f"{prefix}-{ratio:.2f}.json"
        if ratio != round(ratio, 2):
            path = directory / f"{prefix}-{ratio:g}.json"
        path.parent.mkdir(exist_ok=True)
        plan.save(path)


def _block(value: Mapping[str, Json]) -> str:
    return to_json(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")


def _units(units: Any) -> list[int]:
    if not isinstance(units, list) or not all(type(unit) is int for unit in units):
        raise TypeError(f"{units!r} is not a list of unit indices")
    return units
