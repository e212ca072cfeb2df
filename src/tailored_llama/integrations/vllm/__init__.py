"""Shaped checkpoints in vLLM: its own LLaMA, with the widths of each layer read from the config.

vLLM finds `register` by the entry point `vllm.general_plugins` and calls it in each of its processes. vLLM
pins versions of torch and transformers that are not ours, so this lives in vLLM's environment, where the rest
of this package may lack its dependencies: here only `shaped` is imported. Plain checkpoints need none of it.
"""

from __future__ import annotations

MODEL = f"{__name__}.model:ShapedLlamaForCausalLM"


def register() -> None:
    """Make this process's vLLM, and the transformers below it, know shaped checkpoints."""
    from vllm import ModelRegistry  # type: ignore[import-not-found]

    from tailored_llama import shaped

    shaped.register()
    # By name: importing the class here would start CUDA before vLLM forks.
    ModelRegistry.register_model(MODEL.rpartition(":")[2], MODEL)
