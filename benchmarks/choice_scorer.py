"""Requests a second of our choice scorer and of lm_eval's HFLM, in one run, on a random 26M-parameter model.

`python benchmarks/choice_scorer.py [--questions 16] [--repeats 3]`. Both get the same token requests: four
choices a question, contexts of about 120 tokens with the answer, alone and behind five shots that all
questions share. HFLM runs in batches of about 2048 padded tokens, the fastest of those we tried on two
cores. The vocabulary is small, which favours HFLM: it computes the head at every token, we where an answer
is read. The seconds are the process's own on the CPU, so that what else runs on the machine disturbs less,
and the two take turns.
"""

from __future__ import annotations

import argparse
import logging
import random
import statistics
import time

import torch
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tailored_llama.integrations.lm_eval.model import Tailor, Tokenised
from tailored_llama.scoring import BATCH_TOKENS

VOCABULARY, CHOICES, CONTEXT, SHOT = 2000, 4, 104, 128


def tokenizer() -> PreTrainedTokenizerFast:
    """As much of one as HFLM asks for: requests come as token ids."""
    empty = Tokenizer(models.WordLevel({"<s>": 0}, unk_token="<s>"))
    return PreTrainedTokenizerFast(tokenizer_object=empty, bos_token="<s>", eos_token="<s>", pad_token="<s>")


def model() -> LlamaForCausalLM:
    """26.3M parameters: hidden 512, 8 layers."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=512, intermediate_size=1376, num_hidden_layers=8,
        num_attention_heads=8, max_position_embeddings=2048, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def requests(questions: int, shots: int) -> list[Tokenised]:
    """Token requests: a prefix for all, a context for each question, answers of 4 to 16 tokens."""
    dice = random.Random(0)

    def words(count: int) -> list[int]:
        return [dice.randrange(2, VOCABULARY) for _ in range(count)]

    prefix = words(shots * SHOT)
    asked: list[Tokenised] = []
    for question in range(questions):
        context = prefix + words(CONTEXT + dice.randrange(-16, 17))
        for choice in range(CHOICES):
            asked.append(((str(question), str(choice)), context, words(dice.randrange(4, 17))))
    return asked


def timed(lm: HFLM, asked: list[Tokenised]) -> tuple[float, list[float]]:
    """CPU seconds of one pass over `asked`, and the log-likelihoods."""
    start = time.process_time()
    found = lm._loglikelihood_tokens(asked, disable_tqdm=True)
    return time.process_time() - start, [value for value, _ in found]


def main() -> None:
    """The table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    network = model()
    print(f"{network.num_parameters() / 1e6:.1f}M parameters, {torch.get_num_threads()} threads, "
          f"{options.questions} questions of {CHOICES} choices, medians of {options.repeats}\n")  # fmt: skip
    print("| shots | tokens | HFLM, requests/CPU s | tailor, requests/CPU s | ratio | largest difference |")
    print("|---|---|---|---|---|---|")
    for shots in (0, 5):
        asked = requests(options.questions, shots)
        length = sum(len(context) + len(answer) for _, context, answer in asked) / len(asked)
        lms = [
            kind(
                pretrained=network, tokenizer=tokenizer(), device="cpu", max_length=2048,
                softmax_dtype="float32", batch_size=max(1, round(BATCH_TOKENS / length)),
            )
            for kind in (HFLM, Tailor)
        ]  # fmt: skip
        for lm in lms:
            timed(lm, asked[:CHOICES])  # the first call pays for allocation
        runs = [[timed(lm, asked) for lm in lms] for _ in range(options.repeats)]
        rates = [len(asked) / statistics.median(run[side][0] for run in runs) for side in (0, 1)]
        values = [torch.tensor(runs[0][side][1]) for side in (0, 1)]
        gap = float((values[0] - values[1]).abs().max())
        print(f"| {shots} | {length:.0f} | {rates[0]:.1f} | {rates[1]:.1f} | {rates[1] / rates[0]:.1f} "
              f"| {gap:.1e} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
