"""The pruning criteria, one file each: the name of the file is the name of the criterion.

A new one is a copy of l2.py (weights alone), taylor.py (gradients), wanda.py (activations) or
block_influence.py (layers). `criterion.py` describes their inputs.
"""
