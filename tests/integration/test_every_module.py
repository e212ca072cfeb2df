"""Every module of the package can be imported, and afterwards the public names are still what they were."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib, inspect, pkgutil
import tailored_llama as package

for found in pkgutil.walk_packages(package.__path__, "tailored_llama."):
    # The first runs on import; the second needs vLLM.
    if not found.name.endswith("__main__") and found.name != "tailored_llama.integrations.vllm.model":
        importlib.import_module(found.name)
held = {name: getattr(package, name) for name in package.__all__ if name != "__version__"}
print([name for name, it in held.items() if not callable(it) or inspect.ismodule(it)])
"""


def test_no_module_hides_a_public_name() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
