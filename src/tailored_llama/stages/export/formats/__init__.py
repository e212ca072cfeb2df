"""The export formats, one file each: the name of the file is the name of the format.

A new one is a copy of hf.py (a directory) or gguf.py (one file). `format.py` says what each is given.
"""
