"""The families, one file each: the name of the file is transformers' model_type.

A new one is a copy of mistral.py (LLaMA's projections), qwen2.py (biases of its own), phi3.py (fused
projections) or gemma2.py (other norms). `table.py` says what a table states.
"""
