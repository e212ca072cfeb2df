"""Shaped checkpoints in vLLM: vLLM's LLaMA, with per-layer widths from the config.

vLLM finds `register` by the entry point `vllm.general_plugins` and calls it in each of its processes. vLLM
pins other versions of torch and transformers, so this package may be installed in vLLM's environment without
its own dependencies: this module imports only `shaped`. Plain checkpoints do not need it.
"""

from __future__ import annotations

MODEL = f"{__name__}.model:ShapedLlamaForCausalLM"


def register() -> None:
    """Register shaped checkpoints with vLLM and transformers in this process."""
    from vllm import ModelRegistry  # type: ignore[import-not-found]

    from tailored_llama import shaped

    shaped.register()
    # By name: importing the class here would initialise CUDA before vLLM forks.
    ModelRegistry.register_model(MODEL.rpartition(":")[2], MODEL)
