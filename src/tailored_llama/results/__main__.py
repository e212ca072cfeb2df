"""The JSON schema of results.json, for docs/reference: `python -m tailored_llama.results`."""

from __future__ import annotations

import json

from tailored_llama.results import Results

if __name__ == "__main__":
    print(json.dumps(Results.model_json_schema(), indent=2))
