"""Runs of several stages: a complete run, sweeps, the cross-task matrix."""
