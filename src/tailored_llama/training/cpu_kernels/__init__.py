"""Faster implementations of LoRA products and dropout on the CPU, with the same results as the
standard ones.
"""
