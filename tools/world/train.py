"""Train the world's tokenizer and model from scratch: `python -m tools.world.train --out DIR`.

The text is generated during training, chunk by chunk, from the seed. The state is saved after every chunk,
and the same command resumes from it.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tailored_llama import checkpoint, machine
from tailored_llama.strict_json import to_json
from tools.world.architecture import SIZES, config, make_model
from tools.world.batches import Batch, batches
from tools.world.facts import SEED
from tools.world.pages import documents
from tools.world.state import load_state, read_facts, save_state
from tools.world.tokenizer import train_tokenizer

log = logging.getLogger("tools.world.train")


@dataclass(frozen=True)
class Settings:
    """The training settings; equal settings give equal results on one kind of machine."""

    size: str = "base"
    seed: int = SEED
    tokens: int = 8_000_000
    batch_tokens: int = 2048
    chunk_documents: int = 8_000
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.1
    warmup_tokens: int = 200_000
    decay: float = 0.4
    """The last share of the tokens, over which the learning rate decays to 0."""
    precision: str = "fp32"
    """Precision of the forward and backward passes, fp32 or bf16; the weights are fp32."""


class Trainer:
    """Model, optimiser and training progress."""

    def __init__(self, settings: Settings, out: Path, device: str) -> None:
        from transformers import AutoTokenizer

        out.mkdir(parents=True, exist_ok=True)
        self.settings, self.out, self.device = settings, out, device
        self.state_path = out / "state.safetensors"
        if (out / "tokenizer.json").exists():
            self.tokenizer: Any = AutoTokenizer.from_pretrained(out)
        else:
            texts = (d.text + d.answer for d in documents(0, settings.chunk_documents))
            self.tokenizer = train_tokenizer(texts)
            checkpoint.write_tokenizer(self.tokenizer, out)
        torch.manual_seed(settings.seed)
        shape = config(
            settings.size,
            bos=self.tokenizer.bos_token_id,
            eos=self.tokenizer.eos_token_id,
            pad=self.tokenizer.pad_token_id,
        )
        self.model: Any = make_model(shape).to(device)
        self.optimizer = _optimizer(self.model, settings)
        self.chunk = self.tokens = self.steps = 0
        self.seconds = 0.0
        if self.state_path.exists():
            self._resume()

    def _resume(self) -> None:
        state = read_facts(self.state_path)
        before, now = state["settings"], asdict(self.settings)
        shorter = min(before["tokens"], now["tokens"])
        # The number of tokens may be changed until the learning rate starts to decay.
        if state["progress"][1] <= (1 - self.settings.decay) * shorter:
            before["tokens"] = now["tokens"]
        if before != now:
            raise SystemExit(f"{self.state_path} has other settings: {before}; choose another --out")
        load_state(self.state_path, self.model, self.optimizer, self.device)
        self.chunk, self.tokens, self.steps, self.seconds = state["progress"]

    def save(self) -> None:
        """Write the state to resume from, and the current model."""
        progress = [self.chunk, self.tokens, self.steps, self.seconds]
        facts = {"settings": asdict(self.settings), "progress": progress}
        save_state(self.state_path, self.model, self.optimizer, facts)
        self.model.save_pretrained(self.out)
        checkpoint.write_config(checkpoint.ModelWeights(self.model), self.out)

    def run(self, minutes: float) -> bool:
        """Train until all tokens are processed (True) or `minutes` have passed (False)."""
        deadline = time.monotonic() + 60 * minutes
        while self.tokens < self.settings.tokens:
            if time.monotonic() > deadline:
                return False
            self._chunk()
            self.save()
        return True

    def _chunk(self) -> None:
        started, first = time.monotonic(), self.tokens
        texts = list(documents(self.chunk, self.settings.chunk_documents))
        total = torch.zeros((), device=self.device)
        done = 0
        for batch in batches(
            texts, self.tokenizer, chunk=self.chunk, batch_tokens=self.settings.batch_tokens
        ):
            if self.tokens >= self.settings.tokens:
                break
            total += self._step(batch)
            done += 1
        self.chunk += 1
        seconds = time.monotonic() - started
        self.seconds += seconds
        entry = {
            "chunk": self.chunk, "step": self.steps, "tokens": self.tokens,
            "loss": round(total.item() / done, 4), "lr": self._rate(), "seconds": round(self.seconds, 1),
            "tokens_per_second": round((self.tokens - first) / seconds),
        }  # fmt: skip
        with (self.out / "training.jsonl").open("a") as file:
            file.write(to_json(entry) + "\n")
        log.info("%s", entry)

    def _rate(self) -> float:
        """Linear warm-up, constant, linear decay: before the decay it does not depend on the run's length."""
        settings = self.settings
        left = (1 - self.tokens / settings.tokens) / settings.decay
        return settings.learning_rate * max(0.0, min(self.tokens / settings.warmup_tokens, left, 1.0))

    def _step(self, batch: Batch) -> Tensor:
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        tokens, weights = batch.tokens.to(self.device), batch.weights.to(self.device)
        with self._autocast():
            # Padding comes last and has weight 0, so the causal mask is sufficient.
            logits = self.model(input_ids=tokens, use_cache=False).logits
        losses = functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
        )
        weights = weights[:, 1:].flatten()
        loss = (losses * weights).sum() / weights.sum()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.tokens += batch.count
        self.steps += 1
        return loss.detach()

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.settings.precision == "bf16")


def fastest_precision(device: str) -> str:
    """bf16 on a GPU and on a CPU with AMX, else fp32.

    AVX512-BF16 alone is slower at this width: 2,636 tokens/s against 4,033 in fp32, one thread.
    """
    fast_bf16 = device.startswith("cuda") or torch.cpu.get_capabilities().get("amx_bf16")
    return "bf16" if fast_bf16 else "fp32"


def _optimizer(model: Any, settings: Settings) -> torch.optim.AdamW:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim == 1]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        betas=(0.9, 0.95),
        fused=True,
    )


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description="Train the world's tokenizer and model from scratch.")
    parser.add_argument(
        "--out", type=Path, required=True, help="directory of the model; an unfinished one is resumed"
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="base")
    parser.add_argument(
        "--tokens", type=float, default=Settings.tokens, help="total number of training tokens"
    )
    parser.add_argument("--rate", type=float, default=Settings.learning_rate, help="peak learning rate")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="time limit; rerun to resume")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the initial weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="default: the faster one here")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    machine.settle()
    torch.set_num_threads(options.threads)
    settings = Settings(
        size=options.size,
        seed=options.seed,
        tokens=int(options.tokens),
        learning_rate=options.rate,
        precision=options.precision or fastest_precision(options.device),
    )
    finished = Trainer(settings, options.out, options.device).run(options.minutes)
    log.info("finished" if finished else "stopped; rerun the command to resume")


if __name__ == "__main__":
    main()
