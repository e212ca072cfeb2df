"""A campaign against the command line: kills, corruption, full disks, generated input of every kind.

`make campaign`, or `python -m tests.campaign --help`; CONTRIBUTING.md says how to read its output.
"""
