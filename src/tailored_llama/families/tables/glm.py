"""GLM-4 (GLM Team 2024), in transformers' own form: GLM-4-0414 without the norms after attention and MLP."""

from __future__ import annotations

from dataclasses import replace

from tailored_llama.families.tables.glm4 import GLM4

GLM = replace(
    GLM4,
    name="glm",
    architecture="GlmForCausalLM",
    plain=("glm",),
    shaped=("glm",),
    norms=("input_layernorm", "post_attention_layernorm"),
    gguf=None,
)
