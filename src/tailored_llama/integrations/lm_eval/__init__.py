"""lm_eval with `--model tailor`."""
