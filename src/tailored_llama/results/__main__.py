"""The JSON schema of results.json, for docs/reference: `python -m tailored_llama.results`."""

from __future__ import annotations

from tailored_llama.results import Results
from tailored_llama.strict_json import to_json

if __name__ == "__main__":
    print(to_json(Results.model_json_schema(), indent=2))
