"""Heal: distil a pruned model from the unpruned one, on text that the unpruned model generates."""

from tailored_llama.stages.heal.stage import heal

__all__ = ["heal"]
