"""The heal stage: distillation of a pruned model from the unpruned one, on text that the unpruned model
generates.

Healing happens between pruning and tuning, for all tasks at once. The unpruned model continues prefixes of
the tasks' prompts; the pruned model is trained to match its distribution at every token (Hinton et al. 2015;
healing: Gromov et al. 2024); the adapters are merged. Only the prompts of the shots are used, not the
answers. If a wording contains the choices in the prompt (WinoGrande's `harness`, by partial evaluation), the
prompt with the correct choice is used.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Unpack, overload

import torch
from peft import PeftModel
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.checkpoint.lineage import CUT, what_was_cut
from tailored_llama.data import Task, load_task
from tailored_llama.data.passages import passages
from tailored_llama.data.shots import candidates, draw_shots
from tailored_llama.errors import DataError, TuneError
from tailored_llama.memory import memory_for
from tailored_llama.recipe import Heal, Tune, settings_of
from tailored_llama.recipe.keywords import HealKeys
from tailored_llama.results import HealingTexts, TrainingStep
from tailored_llama.scoring import embedding_rows, example_length
from tailored_llama.stage import TRAINED, Out, Stage, Working, complete, complete_beside
from tailored_llama.stage.inputs import (
    merged,
    model_inputs,
    task_inputs,
    text_inputs,
    text_name,
    tokenizer_inputs,
)
from tailored_llama.training.base_model import (
    HISTORY,
    Base,
    load_base,
    tokenizer_of,
    write_history,
    write_model,
)
from tailored_llama.training.batches import Material, Shot, encode, windows
from tailored_llama.training.generation import prompts_of
from tailored_llama.training.loop import fit
from tailored_llama.training.lora import attach
from tailored_llama.training.teacher import Teacher
from tailored_llama.training.trained import kept, link_files, write_merged, write_trained
from tailored_llama.training.whole import unfreeze

log = logging.getLogger(__name__)
STAGE = "heal"
TEXTS = HealingTexts.file
SHOWN = 20


class Arguments(HealKeys, total=False):
    """The keywords of `heal` that are not listed in its overloads."""

    settings: Heal | None
    shots: Tune | None
    seed: int
    number: int
    data: Mapping[str, str] | None
    tokenizer: PreTrainedTokenizerBase | None
    allow_config: Sequence[str]
    device: str | None


@overload
def heal(
    model: str | Path | PreTrainedModel,
    *,
    teacher: str | Path | PreTrainedModel,
    tasks: str | Path | Sequence[str | Path],
    out: Out,
    **arguments: Unpack[Arguments],
) -> Path: ...
@overload
def heal(
    model: str | Path | PreTrainedModel,
    *,
    teacher: str | Path | PreTrainedModel,
    tasks: str | Path | Sequence[str | Path],
    out: None = None,
    **arguments: Unpack[Arguments],
) -> PreTrainedModel: ...
@checkpoint.takes_allow_config
@memory_for("heal", "lower heal.batch_size, heal.length or heal.lora.r")
def heal(
    model: str | Path | PreTrainedModel,
    *,
    teacher: str | Path | PreTrainedModel,
    tasks: str | Path | Sequence[str | Path],
    settings: Heal | None = None,
    shots: Tune | None = None,
    seed: int = 42,
    number: int = 1,
    data: Mapping[str, str] | None = None,
    out: Out | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    allow_config: Sequence[str] = (),
    device: str | None = None,
    **overrides: Unpack[HealKeys],
) -> Path | PreTrainedModel:
    """Distil the pruned `model` from `teacher`, the model it was pruned from, on text that the teacher
    generates.

    The text begins with prefixes of the prompts of `tasks`: of the rows that tuning by `shots` (a recipe's
    `tune`) would draw with `seed`, in its wording, or in every wording if that is `auto`. Each of several
    rounds has its own text; `number` is the number of this round, from 1. `settings` are a recipe's `heal`
    keys, `overrides` single keys (`texts=500`). `data`, `tokenizer`, `allow_config`, `device`: see `tune`.

    With `out`, writes the checkpoint, `history.jsonl` and `texts.json` (some of the texts) and returns the
    directory; a complete one is reused. Until then the teacher's distributions and the trained adapter are in
    `teacher-*` and `trained-*` next to it; a call that failed resumes from them. Without `out`, returns a new
    model. Raises the errors of `tune`, and TuneError without a task or for another vocabulary.
    """
    tasks = [tasks] if isinstance(tasks, str | Path) else tasks
    if not tasks:
        raise TuneError("heal: no task given, but the text begins with prompts of tasks; name at least one")
    job = _Job(
        base=model if isinstance(model, PreTrainedModel) else checkpoint.resolve(model),
        teacher=teacher if isinstance(teacher, PreTrainedModel) else checkpoint.resolve(teacher),
        tasks=[load_task(task) for task in tasks],
        settings=settings_of(Heal, settings, "heal", **overrides), shots=shots or Tune(),
        seed=seed, round=number, data=data or {}, tokenizer=tokenizer, device=device,
    )  # fmt: skip
    with checkpoint.accepting(checkpoint.remembered_by(job.base)):  # for the teacher as well
        return complete(job.stage, out) if out is not None else job.run(None).model


@dataclass(frozen=True)
class _Healed:
    trained: PreTrainedModel | PeftModel
    dtype: torch.dtype
    history: list[TrainingStep]
    record: HealingTexts

    @property
    def model(self) -> PreTrainedModel:
        """The model in the dtype of its base, with the adapter merged if one was trained."""
        if isinstance(self.trained, PeftModel):
            return checkpoint.merge_adapter(self.trained.float(), self.dtype)
        return self.trained.requires_grad_(False).to(self.dtype)


@dataclass(frozen=True)
class _Job:
    base: Base
    teacher: Base
    tasks: Sequence[Task]
    settings: Heal
    shots: Tune
    seed: int
    round: int
    data: Mapping[str, str]
    tokenizer: PreTrainedTokenizerBase | None
    device: str | None
    working: Working = field(default_factory=Working)

    @property
    def stage(self) -> Stage:
        """The healing as a stage that writes a checkpoint directory."""
        settings = {
            "tasks": [task.name for task in self.tasks], "round": self.round,
            **self.settings.model_dump(mode="json", exclude={"rounds"}), "drawn": self.shots.drawing,
        }  # fmt: skip
        inputs = [model_inputs("base", self.base), model_inputs("teacher", self.teacher), self._rows]
        digests = merged(inputs)
        if self.settings.text is not None:
            settings["text"]["source"] = text_name(self.settings.text.source, self.data)
        if self.settings.lora is None:
            return Stage(STAGE, settings, digests, self._write_whole, seed=self.seed, working=self.working)
        trained = Stage(
            TRAINED, {**settings, "of": STAGE}, digests, self._write, seed=self.seed, working=self.working
        )  # fmt: skip
        merge = partial(self._merge, trained)
        return Stage(STAGE, settings, digests, merge, seed=self.seed, working=self.working)

    def _write(self, folder: Path) -> None:
        healed = self.run(folder.parent)
        assert isinstance(healed.trained, PeftModel)
        write_trained(healed.trained, self.base, healed.history, folder, healed.record)

    def _write_whole(self, folder: Path) -> None:
        """Train all weights and write the model; there is no adapter to merge."""
        healed = self.run(folder.parent)
        self.working.trained()
        write_model(healed.model, folder, self.base, self.tokenizer)
        write_history(healed.history, folder)
        checkpoint.write_json(folder / TEXTS, healed.record.to_json(), indent=1)
        self._write_lineage(folder)

    def _merge(self, stage: Stage, folder: Path) -> None:
        """Train into a working directory, so that a failed merge loses nothing; then merge."""
        trained = complete_beside(stage, folder.parent, self.working)
        self.working.trained()
        with kept(trained, folder):
            link_files(trained, folder, [HISTORY, TEXTS])
            write_merged(self.base, trained, folder, self.tokenizer)
            self._write_lineage(folder)

    def _write_lineage(self, folder: Path) -> None:
        cut = what_was_cut(self.base) if isinstance(self.base, Path) else None
        if cut is not None:
            how = self.settings.model_dump(mode="json") | {"rounds": cut.rounds + 1}
            checkpoint.write_json(folder / CUT, cut.model_copy(update={"heal": how}).to_json())

    def run(self, cache: Path | None) -> _Healed:
        """Compute the teacher's texts and distributions, then train; does not change torch's generators."""
        tokenizer = tokenizer_of(self.base, self.tokenizer)
        config = checkpoint.open_weights(self.base).config
        prompts = self._prompts(tokenizer, config) if self.settings.texts else []
        seed = random.Random(f"{self.seed} {self.round}").getrandbits(32)
        teacher = Teacher(self.teacher, self.settings, self.settings.precision, seed, self.device)
        with TemporaryDirectory() if cache is None else nullcontext(cache) as place:
            general, generated = teacher.teach(
                self._general_text(tokenizer, config, seed), Path(place), tokenizer, embedding_rows(config),
                prompts, self.working,
            )  # fmt: skip
        texts = [*generated, *general]
        model, dtype = load_base(self.base, self.settings.precision, self.device)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            lora = self.settings.lora
            trained = attach(model, lora) if lora is not None else unfreeze(model)
            history = fit(trained, Material(texts), self._training(), seed=self.seed, title="heal")
        token_ids = [[text.choices[0].ids[0], *text.choices[0].answer] for text in texts]
        record = HealingTexts(
            round=self.round, tasks=[task.name for task in self.tasks], prompts=len(prompts),
            texts=len(generated), pieces=len(general), tokens=sum(map(len, token_ids)),
            examples=[tokenizer.decode(ids) for ids in token_ids[:SHOWN]],
        )  # fmt: skip
        return _Healed(trained, dtype, history, record)

    def _general_text(
        self, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, seed: int
    ) -> list[Shot]:
        text = self.settings.text
        if text is None:
            return []
        length = min(text.length + 1, int(config.max_position_embeddings))  # the last token is only predicted
        try:
            pieces = passages(
                text.source, text.pieces, length, tokenizer, vocabulary=embedding_rows(config), seed=seed,
                data=self.data,
            )  # fmt: skip
        except DataError as error:
            raise DataError(f"heal.text: {error}") from None
        if len(pieces) < text.pieces:
            log.info("heal.text: the text has only %d pieces", len(pieces))
        return windows(pieces)

    def _prompts(self, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> list[tuple[int, ...]]:
        """The prompts of every task's shots, without answers, in each wording that tuning may use."""
        prompts: list[tuple[int, ...]] = []
        for task in self.tasks:
            drawn = draw_shots(task, self.shots, seed=self.seed, data=self.data.get(task.name))
            for wording in candidates(task, self.shots.prompt):
                examples = task.examples(wording, drawn.rows)
                shots = encode(
                    tokenizer, examples, example_length(task, config), vocabulary=embedding_rows(config)
                )
                prompts += prompts_of(shots)
        prompts.sort()  # the order of the shots may reveal their labels
        random.Random(self.seed).shuffle(prompts)
        return prompts

    def _training(self) -> Tune:
        keys = (
            "epochs", "learning_rate", "warmup", "batch_size", "micro_tokens", "activation_checkpointing",
            "precision",
        )  # fmt: skip
        return Tune(loss="distill", **{key: getattr(self.settings, key) for key in keys})

    def _rows(self) -> dict[str, str]:
        """Digests of the tasks, their rows, and a tokenizer that was passed as an object."""
        inputs = tokenizer_inputs(self.tokenizer)
        if self.settings.text is not None:
            inputs |= text_inputs("text", self.settings.text.source, self.data)
        for task in self.tasks:
            inputs |= task_inputs(task, self.data.get(task.name))
        return inputs
