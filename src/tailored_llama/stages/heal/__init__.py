"""Heal: a model that was cut learns again from its unpruned self, on text that the unpruned model writes."""

from tailored_llama.stages.heal.stage import heal

__all__ = ["heal"]
