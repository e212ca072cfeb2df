"""The generator of the bundled world: seeded rows and texts, the training of its model, and leak checks.

Run from a checkout; nothing here is part of the installed package. The generated rows and texts are stored in
`src/tailored_llama/world/`, and a test checks that they are equal byte for byte:

    python -m tools.world.freeze              # rows and texts into the package
    python -m tools.world.train --out DIR     # a model
    python -m tools.world.measure DIR         # its accuracy in every wording
"""
