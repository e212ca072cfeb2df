"""The data types of the tables: which indices of which tensors belong to a unit.

    Family   one architecture: the projections of a decoder layer that its units own, and config attributes
    Group    the units of one kind in one layer of one config, with
    Slice    the indices that each unit owns on one axis of one parameter

Scoring, planning, cutting and counting read groups and do not depend on the architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from tailored_llama.errors import FamilyError, PluginError
from tailored_llama.families.gguf_form import Gguf
from tailored_llama.plugins import FAMILIES, load, names, plugin_file

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Kind = Literal["heads", "query_heads", "mlp", "hidden", "layers"]
MODEL = -1
"""Layer number of units that span the whole model (residual channels, layers)."""
Kept = dict[Kind, dict[int, list[int]]]
"""Kept units of the original model, ascending, by kind and layer (or MODEL). Groups that are not listed are
not cut.
"""


@dataclass(frozen=True)
class Slice:
    """Unit u owns indices `offset + u * stride` up to `offset + (u + 1) * stride` on `axis` of `tensor`.

    `tensor` is a full parameter name. A slice that is not `scored` (a bias) is cut, but does not contribute
    to scores. The model computes with the stored value plus `shift`.
    """

    tensor: str
    axis: int
    stride: int
    offset: int = 0
    scored: bool = True
    shift: float = 0.0


@dataclass(frozen=True)
class Group:
    """All units of one kind in one decoder layer, or with `layer` MODEL in the whole model.

    A unit of `heads` is a KV head with its query heads, one of `query_heads` a single query head, one of
    `mlp` a channel, one of `hidden` a channel of the residual stream, one of `layers` a decoder layer.
    `slices` are in the order of the members (q, o, v, k; gate, up, down), biases last; a layer owns complete
    tensors instead of slices. `channels` is the number of channel scores per unit: head_dim for heads, 1 for
    channels. `parameters` is the number of parameters of one unit (for layers: the average). The units form
    `blocks` of equal size, which must all keep the same number: for query heads, a block is a KV head.
    """

    kind: Kind
    layer: int
    units: int
    slices: tuple[Slice, ...]
    channels: int
    parameters: int
    blocks: int = 1


class LayerWidths(NamedTuple):
    """Query heads, KV heads and MLP channels of one decoder layer."""

    heads: int
    kv_heads: int
    mlp: int


@dataclass(frozen=True)
class Member:
    """One projection of a unit: a `module` of the decoder layer and the axis of its weight that the unit
    owns.

    Axis 0 are outputs (rows), axis 1 inputs (columns). With `per_query` a unit owns head_dim channels for
    each of its query heads, otherwise head_dim in total. `place` is the position among members fused into one
    module.
    """

    module: str
    axis: int
    per_query: bool = False
    place: int = 0


@dataclass(frozen=True)
class OlderRope:
    """How readers before transformers 5 spell the rotary parameters of a family in config.json.

    `type_key` names the type of scaling in `rope_scaling`, which has the original length of the context if
    `holds_length`. With `partial` a key `partial_rotary_factor` is read. `local_theta` is the key with the
    base of layers with a sliding window, if they have parameters of their own.
    """

    type_key: str = "rope_type"
    holds_length: bool = True
    partial: bool = False
    local_theta: str | None = None


def no_biases(config: PreTrainedConfig) -> frozenset[str]:
    """The modules with a bias, for families without biases."""
    return frozenset()


def no_factor(config: PreTrainedConfig) -> float:
    """The factor of logits, for families without one."""
    return 1.0


def every_layer(config: PreTrainedConfig, layer: int) -> bool:
    """Whether a layer rotates its queries and keys, for families whose layers all do."""
    return True


def any_widths(config: PreTrainedConfig, width: LayerWidths, hidden: int) -> bool:
    """For stock classes without restrictions on the widths."""
    return True


def heads_divide(config: PreTrainedConfig, width: LayerWidths, hidden: int) -> bool:
    """For stock classes that require the number of query heads to divide the residual width, even with
    head_dim.
    """
    return hidden % width.heads == 0


@dataclass(frozen=True)
class Family:
    """One architecture, as a table.

    `name` is transformers' model_type, `architecture` its causal LM class.

    Config: `known` are the attributes that the table reads or that a cut does not change, `inert` those that
    do not affect the computation, `expects` those that do not affect it at the given value. `numbers` are the
    types and ranges of values of its own (pydantic annotations), `per_layer` the attributes with one entry
    per decoder layer.

    Parameters: `members` are the projections of a unit in the order q, o, v, k and gate, up, down; without a
    gate up, down. `biases` returns the modules of a layer with a bias. `norms` names the norms of residual
    width in a layer, before or after its two parts; with `norm_biases` they and the last one have biases.
    `head_norms` names norms of head_dim entries that are shared by all heads and never cut, `wide_norms`
    those over all heads together, whose entries belong to the heads. A norm multiplies by its weight plus
    `norm_shift`. With `scaled_embedding` embeddings are multiplied by the square root of the residual width;
    `logit_factor` is what the model multiplies logits with after the head.

    Rotary embeddings: `rope_types` are the types of scaling that the config knows, and what it reads each as
    (None: those of transformers), `rope_keys` parameters of its own. With `rope_by_layer_type` layers with
    and without sliding window have parameters each. `rotates` says whether a layer rotates at all.

    What a cut becomes: `plain` are the families whose stock class can represent a cut with equal layers, in
    order of preference; `shaped` those whose shaped form can represent any cut. A stock class accepts the
    widths that `takes` allows, and computes the same as another family's class if its own attributes are set
    to `fills`. `fixed` gives for each kind of unit that cannot be cut the reason.

    `gguf` describes the form in llama.cpp; without one, `gguf_refusal` is the reason. `gguf_import` is the
    architecture in GGUF files that transformers reads as this family.
    """

    name: str
    architecture: str
    members: Mapping[Kind, tuple[Member, ...]]
    known: frozenset[str]
    inert: frozenset[str]
    plain: tuple[str, ...]
    shaped: tuple[str, ...]
    biases: Callable[[PreTrainedConfig], frozenset[str]] = no_biases
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    norm_biases: bool = False
    head_norms: tuple[str, ...] = ()
    wide_norms: tuple[Member, ...] = ()
    norm_shift: float = 0.0
    scaled_embedding: bool = False
    logit_factor: Callable[[PreTrainedConfig], float] = no_factor
    per_layer: tuple[str, ...] = ()
    expects: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)
    takes: Callable[[PreTrainedConfig, LayerWidths, int], bool] = any_widths
    fills: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[Kind, str] = field(default_factory=dict)
    rope_types: Mapping[str, str] | None = None
    rope_keys: frozenset[str] = frozenset()
    rope_by_layer_type: bool = False
    rotates: Callable[[PreTrainedConfig, int], bool] = every_layer
    older_rope: OlderRope = OlderRope()
    gguf: Gguf | None = None
    gguf_refusal: str = "the exporter does not write it"
    gguf_import: str | None = None


def family_named(name: str, where: str = "config.json") -> Family:
    """The family of a model_type, plain or shaped. Raises FamilyError with what there is, and PluginError."""
    plain = name.removeprefix("shaped_")
    if plain not in family_names():
        raise FamilyError(
            f"{where}: no table of slices for the architecture '{name}'; known: {', '.join(family_names())}"
        )
    table, path = load(FAMILIES, plain, Family), plugin_file(FAMILIES, plain)
    if path is not None:
        _join(table, plain, path)
    return table


@cache
def _join_once(path: Path, name: str) -> None:
    from tailored_llama import shaped

    try:
        shaped.register(name)
    except KeyError:
        raise PluginError(
            f"{path}: transformers has no model_type {name!r}; the file and its table have transformers' name"
        ) from None


def _join(table: Family, name: str, path: Path) -> None:
    """Check a plugin's table, and make the shaped classes of its architecture."""
    if table.name != name:
        raise PluginError(f"{path}: its table has the name {table.name!r}; file and table have one name")
    _join_once(path, name)


def family_names() -> Sequence[str]:
    """The architectures that can be cut, by transformers' model_type."""
    return names(FAMILIES)


def architecture(name: str) -> str:
    """The stock causal LM class of a family."""
    return family_named(name).architecture


def kinds_of(table: Family) -> list[Kind]:
    """The unit kinds that can be cut; `query_heads` only if the config has grouped queries."""
    return [kind for kind in get_args(Kind) if kind not in table.fixed]


def describe() -> dict[str, list[Kind]]:
    """The unit kinds of each family."""
    return {table.name: kinds_of(table) for table in map(family_named, family_names())}


def llama_cpp(table: Family) -> str:
    """The architectures in llama.cpp: with equal layers, and with layers of different widths; or why none."""
    if table.gguf is None:
        return f"no: {table.gguf_refusal}"
    shaped = table.gguf.uneven
    whole = " (heads x head_dim = hidden_size only)" if table.gguf.square else ""
    return f"{table.gguf.architecture}{whole}" + (f", {shaped} where layers differ" if shaped else "")


PARTS = ("q", "o", "v", "k")
MLP_PARTS = ("gate", "up", "down")


def projections(name: str) -> dict[str, str]:
    """The last part of the module's name of each projection (q, k, v, o, gate, up, down) of a family; fused
    ones share a module, and without a gate there is none.
    """
    members = family_named(name).members
    mlp = members["mlp"]
    parts = [*zip(PARTS, members["heads"], strict=True), *zip(MLP_PARTS[-len(mlp) :], mlp, strict=True)]
    return {part: member.module.rpartition(".")[2] for part, member in parts}
