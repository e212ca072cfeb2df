"""SmolLM2-135M-Instruct, a real LLaMA: fetched, taken through the recipes `smollm2-*`, and the lab on it."""
