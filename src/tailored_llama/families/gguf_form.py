"""What a table states of a family's form in llama.cpp."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Number = int | float | bool | list[bool]
Widths = Sequence[tuple[int, int, int]]
"""Query heads, KV heads and MLP channels of each layer (`LayerWidths`)."""
Check = Callable[["PreTrainedConfig", Widths], str | None]


def no_window(config: PreTrainedConfig, widths: Widths) -> str | None:
    """The reason why llama.cpp cannot represent a model with a sliding window in use, or None."""
    window = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if window is None or (types is not None and "sliding_attention" not in types):
        return None
    return f"sliding_window is {window}, and llama.cpp uses full attention here"


@dataclass(frozen=True)
class Gguf:
    """The architecture of llama.cpp that computes the same.

    `architecture` is its name, `uneven` that of one for layers with widths of their own. With `interleave`
    llama.cpp rotates neighbouring channels where transformers rotates the halves of a head, so rows of q and
    k are reordered. The MLP computes `activation`. `epsilon` is the config attribute with the epsilon of
    norms; with `layer_norm` they subtract the mean. Only the modules in `biases` may have one. With `square`
    heads x head_dim has to be the residual width, so heads cannot be cut alone. `theta` computes the base of
    the rotary embedding from scaled parameters. `numbers` are further keys, below the architecture's name.
    `check` returns a reason why a model cannot be represented, which names the attribute, or None.
    """

    architecture: str
    uneven: str | None = None
    interleave: bool = False
    activation: str = "silu"
    epsilon: str = "rms_norm_eps"
    layer_norm: bool = False
    biases: frozenset[str] = frozenset()
    square: bool = False
    theta: Callable[[PreTrainedConfig], float] | None = None
    numbers: Mapping[str, Callable[[PreTrainedConfig], Number]] = field(default_factory=dict)
    check: Check = no_window
