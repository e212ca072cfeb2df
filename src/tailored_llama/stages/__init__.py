"""The stages, each a directory to a directory: prune, heal, tune, evaluate, export. None imports another."""
