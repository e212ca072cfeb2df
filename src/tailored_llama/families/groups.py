"""The groups of coupled slices of a config."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tailored_llama.errors import FamilyError
from tailored_llama.families.dimensions import head_dim, widths
from tailored_llama.families.sizes import parameter_sizes
from tailored_llama.families.table import (
    MODEL,
    Family,
    Group,
    Kind,
    LayerWidths,
    Member,
    Slice,
    family_named,
    kinds_of,
)

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

LAYERS = "model.layers"
EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
FINAL_NORM_BIAS = "model.norm.bias"
HEAD = "lm_head.weight"


def groups(config: PreTrainedConfig) -> list[Group]:
    """All groups of `config`, layer by layer: heads, query heads, MLP channels; then residual channels and
    layers. Raises FamilyError.

    A layer with one query head per KV head has no separate group of query heads.
    """
    family = family_named(config.model_type)
    table = [_Layer(family, config, layer, width) for layer, width in enumerate(widths(config))]
    own = [group for layer in table for group in layer.groups()]
    return [*own, _hidden(table), _layers(table)]


def layer_of(tensor: str) -> int | None:
    """The decoder layer that a parameter belongs to, or None."""
    if not tensor.startswith(f"{LAYERS}."):
        return None
    return int(tensor.removeprefix(f"{LAYERS}.").split(".", 1)[0])


def in_layer(tensor: str, layer: int) -> str:
    """The same parameter of another decoder layer."""
    rest = tensor.removeprefix(f"{LAYERS}.").split(".", 1)[1]
    return f"{LAYERS}.{layer}.{rest}"


def rescaling(config: PreTrainedConfig, hidden: int) -> dict[str, tuple[float, float]]:
    """{tensor: (factor, shift)}: how to rescale tensors when `hidden` residual channels remain, for a family
    that scales its embeddings by the square root of the residual width.

    The rescaling preserves the original scale of the embeddings relative to the layer outputs. If embedding
    and head are tied, the final norm compensates for it.
    """
    family = family_named(config.model_type)
    if not family.scaled_embedding or hidden == int(config.hidden_size):
        return {}
    factor = (int(config.hidden_size) / hidden) ** 0.5
    scaled = {EMBEDDING: (factor, 0.0)}
    if config.tie_word_embeddings:
        scaled[FINAL_NORM] = (1 / factor, family.norm_shift)
    return scaled


class _Layer:
    """One decoder layer of one config, and the layout of its modules."""

    def __init__(self, family: Family, config: PreTrainedConfig, layer: int, width: LayerWidths) -> None:
        self.family, self.config, self.layer, self.width = family, config, layer, width
        self.prefix = f"{LAYERS}.{layer}"
        self.head_dim = head_dim(config)
        self.biased = family.biases(config)

    def groups(self) -> list[Group]:
        result = [self._group("heads", self.width.kv_heads, self.width.heads // self.width.kv_heads)]
        if self.width.heads > self.width.kv_heads:
            result.append(self._group("query_heads", self.width.heads, 1))
        return [*result, self._group("mlp", self.width.mlp, 1)]

    def _group(self, kind: Kind, units: int, queries: int) -> Group:
        """The group of a kind whose units have `queries` query heads each."""
        channels = 1 if kind == "mlp" else self.head_dim

        def owned(members: Iterable[Member]) -> list[tuple[Member, int]]:
            of_kind = (m for m in members if m.per_query or kind != "query_heads")
            return [(m, channels * (queries if m.per_query else 1)) for m in of_kind]

        members = owned(self.family.members["mlp" if kind == "mlp" else "heads"])
        weights = tuple(
            Slice(f"{self.prefix}.{m.module}.weight", m.axis, stride, self._offset(m))
            for m, stride in members
        )
        # The bias of a projection whose columns are cut has the residual width and is unchanged.
        biases = tuple(
            Slice(f"{self.prefix}.{m.module}.bias", 0, stride, self._offset(m), scored=False)
            for m, stride in members
            if m.axis == 0 and m.module in self.biased
        )
        norms = tuple(
            Slice(f"{self.prefix}.{m.module}.weight", 0, stride, scored=False)
            for m, stride in owned(() if kind == "mlp" else self.family.wide_norms)
        )
        hidden = int(self.config.hidden_size)
        parameters = sum(s.stride for s in weights) * hidden + sum(s.stride for s in (*biases, *norms))
        blocks = self.width.kv_heads if kind == "query_heads" else 1
        return Group(kind, self.layer, units, (*weights, *biases, *norms), channels, parameters, blocks)

    def _offset(self, member: Member) -> int:
        """The first index of a projection within its fused module."""
        fused = (m for ms in self.family.members.values() for m in ms if m.module == member.module)
        return sum(self._length(m) for m in fused if m.place < member.place)

    def _length(self, member: Member) -> int:
        if member in self.family.members["mlp"]:
            return self.width.mlp
        return self.head_dim * (self.width.heads if member.per_query else self.width.kv_heads)

    def residual(self) -> list[Slice]:
        """The slices of a residual channel in this layer: columns of projections that read the residual
        stream, rows of projections that write to it, and one entry of each norm.
        """
        members = {m.module: m for ms in self.family.members.values() for m in ms}
        shift = self.family.norm_shift
        return [
            *(Slice(f"{self.prefix}.{name}.weight", 0, 1, shift=shift) for name in self.family.norms),
            *(Slice(f"{self.prefix}.{m.module}.weight", 1 - m.axis, 1) for m in members.values()),
            *(
                Slice(f"{self.prefix}.{m.module}.bias", 0, 1, scored=False)
                for m in members.values()
                if m.axis == 1 and m.module in self.biased
            ),
            *(
                Slice(f"{self.prefix}.{name}.bias", 0, 1, scored=False)
                for name in self.family.norms
                if self.family.norm_biases
            ),
        ]


def _hidden(table: list[_Layer]) -> Group:
    family, config = table[0].family, table[0].config
    ends = [Slice(EMBEDDING, 1, 1), Slice(FINAL_NORM, 0, 1, shift=family.norm_shift)]
    if not config.tie_word_embeddings:
        ends.append(Slice(HEAD, 1, 1))
    if family.norm_biases:
        ends.append(Slice(FINAL_NORM_BIAS, 0, 1, scored=False))
    slices = (*ends, *(piece for layer in table for piece in layer.residual()))
    return Group("hidden", MODEL, int(config.hidden_size), slices, 1, parameter_sizes(config).slope())


def _layers(table: list[_Layer]) -> Group:
    sizes = parameter_sizes(table[0].config)
    hidden = int(table[0].config.hidden_size)
    held = int(sum(sizes.layer(each.layer, each.width, hidden) for each in table))
    return Group("layers", MODEL, len(table), (), 1, held // len(table))


def check_kinds(config: PreTrainedConfig, kinds: tuple[Kind, ...]) -> None:
    """FamilyError if the model has no units of one of these kinds, or none that can be cut."""
    family = family_named(config.model_type)
    for kind in kinds:
        if kind in family.fixed:
            others = [other for other in kinds_of(family) if other != "query_heads"]
            raise FamilyError(
                f"prune.units: {kind} of {family.name} cannot be cut: {family.fixed[kind]}; "
                f"choose from {', '.join(others)}"
            )
    available = {group.kind for group in groups(config)}
    missing = [kind for kind in kinds if kind not in available]
    if missing:
        raise FamilyError(
            f"prune.units: this {config.model_type} has no {missing[0]} to cut"
            + (" (each KV head has one query head: use heads)" if missing[0] == "query_heads" else "")
            + f"; it has {', '.join(dict.fromkeys(group.kind for group in groups(config)))}"
        )
