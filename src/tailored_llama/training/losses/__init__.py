"""The losses of tuning, one file each; the name of the file is the name of the loss (`tune.loss`).

To add one, copy answer.py (correct answer), choice.py (all choices) or distill.py (a teacher). `loss.py` and
`batches.py` describe their inputs.
"""
