"""How fast half a model decodes: a random LLaMA and its cut by the `deploy` recipe, beside each other.

`python benchmarks/decode.py [--sizes M] [--ratio 0.5] [--dtypes f16 q8_0] [--repeats 9] [--threads 2]`. M has
268M parameters (hidden 1024, 16 layers, 32000 words). Both run in llama.cpp, in turns, batch 1, 64 tokens
read and 64 written; medians. `expected` is the ratio of the bytes that a decoded token reads: all weights but
the embedding, of which it reads one row.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from random_llama import write_llama

from tailored_llama.profiling import measure
from tailored_llama.recipe import load_recipe
from tailored_llama.stages.prune import prune

SHAPES = {"S": (512, 8), "M": (1024, 16), "L": (2048, 22)}


def read_a_token(fact: dict[str, int], hidden: int, words: int) -> int:
    """Parameters that decoding one token reads."""
    return fact["params"] - words * hidden


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=list(SHAPES), default=["M"])
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--dtypes", nargs="+", default=["f16", "q8_0"])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--backend", choices=["llama.cpp", "transformers"], default="llama.cpp")
    chosen = parser.parse_args()
    # By magnitude: which units go does not change the speed, and needs no calibration text.
    settings = load_recipe("deploy").prune.model_copy(update={"ratio": chosen.ratio, "criterion": "l2"})
    print(
        "| size | precision | dense, tok/s | pruned, tok/s | ratio | expected | first token, ms | peak, MiB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for size in chosen.sizes:
        hidden, layers = SHAPES[size]
        with tempfile.TemporaryDirectory() as folder:
            dense = write_llama(Path(folder) / "dense", hidden, layers)
            cut = Path(str(prune(dense, settings=settings, out=Path(folder) / "pruned")))
            for dtype in chosen.dtypes:
                found = measure(
                    [dense, cut], backends=[chosen.backend], dtype=dtype, new=64, repeats=chosen.repeats,
                    threads=chosen.threads,
                )["models"]  # fmt: skip
                one, two = (model["speeds"][0] for model in found)
                expected = read_a_token(found[0], hidden, 32000) / read_a_token(found[1], hidden, 32000)
                print(
                    f"| {size}, {found[0]['params'] / 1e6:.0f}M to {found[1]['params'] / 1e6:.0f}M "
                    f"| {one['dtype']} | {one['decode_tokens_per_second']:.1f} "
                    f"| {two['decode_tokens_per_second']:.1f} "
                    f"| {two['ratios']['decode_tokens_per_second']:.2f} | {expected:.2f} "
                    f"| {1000 * one['first_token_seconds']:.0f} to {1000 * two['first_token_seconds']:.0f} "
                    f"| {one['peak_memory'] / 2**20:.0f} to {two['peak_memory'] / 2**20:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
