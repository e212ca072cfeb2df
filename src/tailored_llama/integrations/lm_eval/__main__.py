"""lm_eval's command line with `--model tailor` registered:
`python -m tailored_llama.integrations.lm_eval ...`."""

from __future__ import annotations

from lm_eval.__main__ import cli_evaluate

import tailored_llama.integrations.lm_eval.model  # noqa: F401  (registers the name)

if __name__ == "__main__":
    cli_evaluate()
