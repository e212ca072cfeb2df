"""Helpers of the tests: builders of small models, rows and runs. No test module imports another one."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
