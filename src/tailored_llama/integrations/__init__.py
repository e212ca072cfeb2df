"""Integrations with other tools: vLLM, lm_eval, transformers' Auto classes."""
