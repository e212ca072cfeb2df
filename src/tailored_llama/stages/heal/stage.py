"""Healing: a model that was cut learns again from its unpruned self, on text which that one writes.

Between pruning and the tuning to a task, for all tasks at once. The unpruned model begins with a piece of a
task's prompt and writes on; the cut one is trained to expect at every token what the other expects
(Hinton et al. 2015; healing: Gromov et al. 2024); the adapters are folded in. Of the shots only the prompts
are used, no answer is trained on; where a wording puts the choices into the prompt itself (WinoGrande's
`harness`, by partial evaluation), that is the prompt with the right one.
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
from typing import Any, Unpack, overload

import torch
from peft import PeftModel
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.checkpoint.lineage import CUT, what_was_cut
from tailored_llama.data import Task, load_task
from tailored_llama.data.passages import passages
from tailored_llama.data.shots import AUTO, draw_shots
from tailored_llama.errors import DataError, TuneError
from tailored_llama.memory import memory_for
from tailored_llama.recipe import Heal, Tune, settings_of
from tailored_llama.recipe.keywords import HealKeys
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
from tailored_llama.training.trained import kept, link_files, merged_from, write_trained
from tailored_llama.training.whole import unfreeze

log = logging.getLogger(__name__)
STAGE = "heal"
TEXTS = "texts.json"
SHOWN = 20


class Arguments(HealKeys, total=False):
    """The keywords that `heal` takes beside those in its overloads."""

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
    """Distil the cut `model` from `teacher`, the model it was cut from, on text that the teacher writes.

    The text begins with pieces of the prompts of `tasks`: of the rows that tuning by `shots` (a recipe's
    `tune`) would draw with `seed`, in its wording, or in every one where that is `auto`. Of several
    rounds each has text of its own: `number` is this one's, from 1. `settings` are a recipe's `heal` keys,
    `overrides` single ones on top (`texts=500`). `data`, `tokenizer`, `allow_config`, `device`: see `tune`.

    With `out`, writes the checkpoint, `history.jsonl` and `texts.json` (some of the texts) and returns the
    directory, at once where it is complete. Until then the teacher's distributions and the trained adapter
    are in `teacher-*` and `trained-*` beside it, from which a call that failed goes on. Without, returns a
    new model. Raises what `tune` raises, and TuneError without a task or for another vocabulary.
    """
    tasks = [tasks] if isinstance(tasks, str | Path) else tasks
    if not tasks:
        raise TuneError("heal: no task is named, and its text begins with their prompts; name at least one")
    job = _Job(
        base=model if isinstance(model, PreTrainedModel) else checkpoint.resolve(model),
        teacher=teacher if isinstance(teacher, PreTrainedModel) else checkpoint.resolve(teacher),
        tasks=[load_task(task) for task in tasks],
        settings=settings_of(Heal, settings, overrides, "heal"), shots=shots or Tune(),
        seed=seed, round=number, data=data or {}, tokenizer=tokenizer, device=device,
    )  # fmt: skip
    with checkpoint.accepting(checkpoint.remembered_by(job.base)):  # of the teacher as well
        return complete(job.stage, out) if out is not None else job.run(None).model


@dataclass(frozen=True)
class _Healed:
    trained: PreTrainedModel | PeftModel
    dtype: torch.dtype
    history: list[dict[str, Any]]
    record: dict[str, Any]

    @property
    def model(self) -> PreTrainedModel:
        """The model in the dtype of its base, with the adapter folded in where one was trained."""
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
        """The healing as a stage, for the directory of a checkpoint."""
        settings = {
            "tasks": [task.name for task in self.tasks], "round": self.round,
            **self.settings.model_dump(mode="json", exclude={"rounds"}), "drawn": self.shots.drawing,
        }  # fmt: skip
        inputs = [model_inputs("base", self.base), model_inputs("teacher", self.teacher), self._rows]
        read = merged(inputs)
        if self.settings.text is not None:
            settings["text"]["source"] = text_name(self.settings.text.source, self.data)
        if self.settings.lora is None:
            return Stage(STAGE, settings, read, self._write_whole, seed=self.seed, working=self.working)
        trained = Stage(TRAINED, {**settings, "of": STAGE}, read, self._write, seed=self.seed)
        merge = partial(self._merge, trained)
        return Stage(STAGE, settings, read, merge, seed=self.seed, working=self.working)

    def _write(self, folder: Path) -> None:
        healed = self.run(folder.parent)
        assert isinstance(healed.trained, PeftModel)
        write_trained(healed.trained, self.base, healed.history, folder, TEXTS, healed.record)

    def _write_whole(self, folder: Path) -> None:
        """Train all weights, and write the model: there is nothing to merge."""
        healed = self.run(folder.parent)
        self.working.trained()
        write_model(healed.model, folder, self.base, self.tokenizer)
        write_history(healed.history, folder)
        checkpoint.write_json(folder / TEXTS, healed.record, indent=1)
        self._write_lineage(folder)

    def _merge(self, stage: Stage, folder: Path) -> None:
        """Train, in a directory of its own, so that a merge that fails loses nothing; then merge."""
        trained = complete_beside(stage, folder.parent, self.working)
        self.working.trained()
        with kept(trained, folder):
            link_files(trained, folder, [HISTORY, TEXTS])
            write_model(merged_from(self.base, trained, self.device), folder, self.base, self.tokenizer)
            self._write_lineage(folder)

    def _write_lineage(self, folder: Path) -> None:
        told = what_was_cut(self.base) if isinstance(self.base, Path) else {}
        if told:
            rounds = told.get("heal", {}).get("rounds", 0) + 1
            how = self.settings.model_dump(mode="json") | {"rounds": rounds}
            checkpoint.write_json(folder / CUT, {**told, "heal": how})

    def run(self, cache: Path | None) -> _Healed:
        """Have the teacher write and say what it expects, then train; torch's generators stay as they are."""
        tokenizer = tokenizer_of(self.base, self.tokenizer)
        config = checkpoint.open_weights(self.base).config
        prompts = self._prompts(tokenizer, config) if self.settings.texts else []
        seed = random.Random(f"{self.seed} {self.round}").getrandbits(32)
        asked = Teacher(self.teacher, self.settings, self.settings.precision, seed, self.device)
        with TemporaryDirectory() if cache is None else nullcontext(cache) as place:
            general, written = asked.teach(
                self._general_text(tokenizer, config, seed), Path(place), tokenizer, embedding_rows(config),
                prompts, self.working,
            )  # fmt: skip
        texts = [*written, *general]
        model, dtype = load_base(self.base, self.settings.precision, self.device)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            lora = self.settings.lora
            trained = attach(model, lora) if lora is not None else unfreeze(model)
            history = fit(trained, Material(texts), self._training(), seed=self.seed, title="heal")
        read = [[text.choices[0].ids[0], *text.choices[0].answer] for text in texts]
        record = {
            "round": self.round, "tasks": [task.name for task in self.tasks], "prompts": len(prompts),
            "texts": len(written), "pieces": len(general), "tokens": sum(map(len, read)),
            "examples": [tokenizer.decode(ids) for ids in read[:SHOWN]],
        }  # fmt: skip
        return _Healed(trained, dtype, history, record)

    def _general_text(
        self, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, seed: int
    ) -> list[Shot]:
        text = self.settings.text
        if text is None:
            return []
        length = min(text.length + 1, int(config.max_position_embeddings))  # the last is predicted, not read
        try:
            pieces = passages(
                text.source, text.pieces, length, tokenizer, vocabulary=embedding_rows(config), seed=seed,
                data=self.data,
            )  # fmt: skip
        except DataError as error:
            raise DataError(f"heal.text: {error}") from None
        if len(pieces) < text.pieces:
            log.info("heal.text: %d pieces are all that the text has", len(pieces))
        return windows(pieces)

    def _prompts(self, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> list[tuple[int, ...]]:
        """What stands before the answers of every task's shots, in each wording that tuning may take."""
        found: list[tuple[int, ...]] = []
        for task in self.tasks:
            drawn = draw_shots(task, self.shots, seed=self.seed, data=self.data.get(task.name))
            wordings = list(task.prompts) if self.shots.prompt == AUTO else [self.shots.prompt]
            for wording in wordings:
                examples = task.examples(wording, drawn.rows)
                shots = encode(
                    tokenizer, examples, example_length(task, config), vocabulary=embedding_rows(config)
                )
                found += prompts_of(shots)
        found.sort()  # the order of the shots may follow their labels
        random.Random(self.seed).shuffle(found)
        return found

    def _training(self) -> Tune:
        own = ("epochs", "learning_rate", "warmup", "batch_size", "precision")
        return Tune(loss="distill", **{key: getattr(self.settings, key) for key in own})

    def _rows(self) -> dict[str, str]:
        """Digests of the tasks, their rows, and a tokenizer that was passed as an object."""
        inputs = tokenizer_inputs(self.tokenizer)
        if self.settings.text is not None:
            inputs |= text_inputs("text", self.settings.text.source, self.data)
        for task in self.tasks:
            inputs |= task_inputs(task, self.data.get(task.name))
        return inputs
