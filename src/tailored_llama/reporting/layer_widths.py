"""The widths of every layer before and after a cut, as bars and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedConfig

from tailored_llama.checkpoint.lineage import local_config
from tailored_llama.families import LayerWidths
from tailored_llama.results import Cut

PANELS = {"heads": "attention heads (query)", "mlp": "MLP channels"}


def draw_layers(
    panels: Sequence[Any], before: Sequence[LayerWidths], after: Sequence[LayerWidths], colour: str
) -> None:
    """Draw the original widths as pale bars with the remaining ones on top; `panels` are two
    matplotlib axes.
    """
    from matplotlib.ticker import MaxNLocator

    layers = range(len(before))
    for axes, (key, title) in zip(panels, PANELS.items(), strict=True):
        axes.bar(layers, [getattr(w, key) for w in before], color=colour, alpha=0.25, label="before")
        axes.bar(layers, [getattr(w, key) for w in after], color=colour, width=0.55, label="after")
        axes.set_title(title)
        axes.set_xlabel("layer")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False, axis="x")


def in_words(before: Sequence[LayerWidths], after: Sequence[LayerWidths]) -> str:
    """The widths as text, as an alternative to the picture."""
    return "; ".join(
        f"layer {i}: {a.heads} of {b.heads} heads, {a.mlp} of {b.mlp} channels"
        for i, (b, a) in enumerate(zip(before, after, strict=True))
    )


def residual_in_words(cut: Cut, config: PreTrainedConfig) -> str:
    """`Residual channels: 197 of 256`; empty if none was removed, or the base's config is not available."""
    dense = local_config(cut.source.model)
    before = cut.source.hidden or (dense.hidden_size if dense else None)
    if before in (None, config.hidden_size):
        return ""
    return f"Residual channels: {config.hidden_size} of {before}"
