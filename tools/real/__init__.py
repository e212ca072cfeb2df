"""SmolLM2-135M-Instruct, a real LLaMA: download, the recipes `smollm2-*`, and the lab."""
