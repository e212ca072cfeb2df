"""Helpers of the tests: builders of small models, rows and runs. No test module imports another one."""
