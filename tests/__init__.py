"""Tests: `unit` mirrors the package; `integration` runs it whole, `gpu` needs CUDA, `campaign` faults."""
