"""How the bundled world was made: its rows and texts by seed, the training of its model, and checks of leaks.

Run from a checkout; nothing here is part of the installed package. What it makes is frozen, byte for byte, in
`src/tailored_llama/world/`, and a test compares the two:

    python -m tools.world.freeze              # rows and texts into the package
    python -m tools.world.train --out DIR     # a model
    python -m tools.world.measure DIR         # its accuracy in every wording
"""
