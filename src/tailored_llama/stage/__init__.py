"""The frame of a stage, and the store of a run's stages.

A stage states its settings, its inputs and how it fills a directory (`Stage`); `complete` does the rest:
fingerprint, lock, reuse, atomic writing, manifest, cleaning up. A fingerprint is made of contents, so that a
run which is moved or copied, or whose inputs moved, is still complete.
"""

from tailored_llama.stage.frame import Stage, complete_at
from tailored_llama.stage.manifest import MANIFEST, Manifest, Output, fingerprint, read_manifest, versions
from tailored_llama.stage.run import RECIPE, is_complete_run, is_run, run_directory
from tailored_llama.stage.store import Out, Slot, Store, complete, shared_path

__all__ = [
    "MANIFEST",
    "RECIPE",
    "Manifest",
    "Out",
    "Output",
    "Slot",
    "Stage",
    "Store",
    "complete",
    "complete_at",
    "fingerprint",
    "is_complete_run",
    "is_run",
    "read_manifest",
    "run_directory",
    "shared_path",
    "versions",
]
