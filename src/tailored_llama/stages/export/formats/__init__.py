"""The export formats, one file each: the name of the file is the name of the format.

To add one, copy hf.py (a directory) or gguf.py (one file). `format.py` describes the interface.
"""
