"""The frame of a stage, and the store of a run's stages.

A stage declares its settings, its inputs and how it fills a directory (`Stage`); `complete` does the rest:
fingerprint, lock, reuse, atomic writing, manifest, cleanup. A fingerprint is computed from contents, so a run
stays complete when it or its inputs are moved or copied.
"""

from tailored_llama.stage.frame import Stage, complete_at
from tailored_llama.stage.manifest import MANIFEST, Manifest, Output, fingerprint, read_manifest, versions
from tailored_llama.stage.run import RECIPE, is_complete_run, is_run, run_directory
from tailored_llama.stage.store import NotComplete, Out, Slot, Store, Survey, complete, complete_beside
from tailored_llama.stage.working import TEACHER, TRAINED, Working, clear_working

__all__ = [
    "MANIFEST",
    "RECIPE",
    "TEACHER",
    "TRAINED",
    "Manifest",
    "NotComplete",
    "Out",
    "Output",
    "Slot",
    "Stage",
    "Store",
    "Survey",
    "Working",
    "clear_working",
    "complete",
    "complete_at",
    "complete_beside",
    "fingerprint",
    "is_complete_run",
    "is_run",
    "read_manifest",
    "run_directory",
    "versions",
]
