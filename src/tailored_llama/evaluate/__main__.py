"""lm_eval's own command line, in which `--model tailor` is known: `python -m tailored_llama.evaluate ...`."""

from __future__ import annotations

from lm_eval.__main__ import cli_evaluate

import tailored_llama.evaluate.lm  # noqa: F401  (registers the name)

if __name__ == "__main__":
    cli_evaluate()
