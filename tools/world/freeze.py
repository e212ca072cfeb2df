"""Write the world's rows and texts into the package: `python -m tools.world.freeze [--out DIR]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tailored_llama import world
from tailored_llama.world import GENERATION, TASKS
from tools.world.splits import SIZES, make_rows, make_text


def frozen() -> dict[str, bytes]:
    """The bytes of every frozen file, by path relative to the package's `world/`."""
    files = {
        f"rows/{name}-{split}.jsonl": "".join(
            json.dumps(row, ensure_ascii=False) + "\n" for row in make_rows(name, split)
        ).encode()
        for name in TASKS + GENERATION
        for split in SIZES
    }
    return files | {f"text/{split}.txt": make_text(split).encode() for split in ("train", "test")}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=world.FOLDER, help="The package's world/.")
    folder = parser.parse_args().out
    for name, content in frozen().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    print(f"{len(frozen())} files in {folder}")
