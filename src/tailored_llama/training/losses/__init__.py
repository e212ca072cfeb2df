"""What tuning minimises, one file a loss: the name of the file is the name of the loss (`tune.loss`).

A new one is a copy of answer.py (the right answer), choice.py (all choices) or distill.py (a teacher).
`loss.py` and `batches.py` say what each is given.
"""
