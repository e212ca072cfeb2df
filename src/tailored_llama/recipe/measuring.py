"""The settings of `tailor measure`: no section of a recipe, since a run counts sizes by formula."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tailored_llama.recipe.base import MOST_TOKENS, Device, Strict, unit

Batch = Annotated[int, Field(le=10**6)]


class Measure(Strict):
    """How sizes and speeds are measured: `tailor measure` has a flag for each field."""

    length: int = Field(
        64, ge=1, le=MOST_TOKENS, description="tokens of the MACs and of each prompt that is read",
        json_schema_extra=unit("tokens"),
    )  # fmt: skip
    new: int = Field(
        32, le=MOST_TOKENS, description="tokens generated after each prompt", json_schema_extra=unit("tokens")
    )
    batches: tuple[Batch, ...] = Field((1,), description="prompts at once; several are compared")
    backends: tuple[str, ...] = Field(("transformers",), description="`transformers`, `llama.cpp` or both")
    dtype: str = Field(
        "f16",
        description="precision of the GGUF file for llama.cpp: `f32`, `f16`, `bf16` or `q8_0`; transformers "
        "computes in the precision of the checkpoint",
    )
    repeats: int = Field(5, le=10**6, description="speeds are medians over so many repeats")
    device: Device = Field(
        "auto", description="where transformers computes: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`"
    )
    threads: int | None = Field(
        None, ge=1, le=4096, description="CPU threads; none: OMP_NUM_THREADS, else one for each core"
    )
    config_only: bool = Field(False, description="sizes from config.json alone, no speeds")
