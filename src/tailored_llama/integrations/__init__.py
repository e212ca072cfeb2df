"""Where other tools meet this one: vLLM, lm_eval."""
