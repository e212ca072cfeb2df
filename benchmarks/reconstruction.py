"""What reconstruction does to the bundled model: loss of text, and accuracy on validation rows.

`python benchmarks/reconstruction.py [--rows 150]`. Cuts the bundled model by Taylor in four ways, plain and
with `reconstruct: true`, and scores each: nats a token on 200 windows of the world's training text that
were not calibrated on, and accuracy on five tasks' validation rows in lm_eval's wording. Not tuned. No test
split is looked at: this is for choosing.
"""

from __future__ import annotations

import argparse

import torch

from tailored_llama import checkpoint, prune
from tailored_llama.data import load_task
from tailored_llama.data.text_windows import calibration_tokens
from tailored_llama.recipe import Calibration, Prune
from tailored_llama.scoring import accuracy, score

TASKS = ("world_boolq", "world_piqa", "world_hellaswag", "world_arc_easy", "world_openbookqa")
CUTS = (
    (16, {"ratio": 0.2}), (128, {"ratio": 0.2}), (128, {"ratio": 0.4}),
    (64, {"ratio": 0.3, "allocate": "global", "steps": 4}),
    (64, {"ratio": 0.5, "allocate": "global", "steps": 4}),
)  # fmt: skip


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=150)
    rows = parser.parse_args().rows
    tokenizer = checkpoint.load_tokenizer("world")
    vocabulary = int(checkpoint.load_config("world").vocab_size)

    def windows(samples: int, seed: int) -> torch.Tensor:
        text = Calibration(source="world", samples=samples)
        return calibration_tokens(text, lambda: tokenizer, vocabulary=vocabulary, seed=seed)

    other = windows(200, 7)

    def figures(model: torch.nn.Module) -> str:
        with torch.no_grad():
            loss = model(input_ids=other, labels=other).loss.item()
        right = []
        for name in TASKS:
            task = load_task(name)
            examples = task.examples("harness", task.rows("validation")[:rows])
            right.append(accuracy(score(model, tokenizer, examples), task.metric))
        return f"{loss:.3f}, {100 * sum(right) / len(right):.1f}"

    print(
        f"whole: {figures(checkpoint.load_model('world'))}\n\n| cut | plain | reconstructed |\n|---|---|---|"
    )
    for samples, how in CUTS:
        settings = Prune.model_validate({**how, "calibration": {"source": "world", "samples": samples}})
        found = [
            figures(prune("world", settings=settings.model_copy(update={"reconstruct": repaired})))
            for repaired in (False, True)
        ]
        print(f"| {samples} windows, {how} | {found[0]} | {found[1]} |", flush=True)


if __name__ == "__main__":
    main()
