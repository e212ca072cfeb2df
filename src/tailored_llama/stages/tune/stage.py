"""The tune stage: from a base, a task and settings to adapters and their records."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tailored_llama import checkpoint
from tailored_llama.checkpoint.adapter import FOLDER
from tailored_llama.checkpoint.lineage import CUT, what_was_cut
from tailored_llama.data import Task
from tailored_llama.errors import NotFiniteError, TuneError
from tailored_llama.plugins import LOSSES
from tailored_llama.recipe import Tune
from tailored_llama.results import ShotsRecord, TrainingStep
from tailored_llama.scoring import embedding_rows, example_length
from tailored_llama.stage import TRAINED, Stage, Working, complete_beside
from tailored_llama.stage.inputs import (
    merged,
    model_inputs,
    plugin_inputs,
    task_inputs,
    text_inputs,
    text_name,
    tokenizer_inputs,
)
from tailored_llama.stages.tune.wording import choose
from tailored_llama.training.base_model import HISTORY, load_base, tokenizer_of
from tailored_llama.training.batches import Material, Shot, encode
from tailored_llama.training.generation import prompts_of
from tailored_llama.training.loop import fit
from tailored_llama.training.lora import attach
from tailored_llama.training.loss import metric_of, teaching
from tailored_llama.training.replay import general_text, hold_out
from tailored_llama.training.teacher import Teacher
from tailored_llama.training.trained import kept, link_files, write_merged, write_trained

STAGE = "tune"
SHOTS = ShotsRecord.file


@dataclass(frozen=True)
class Tuned:
    """A trained model with its adapters, the dtype of its base, and the records of the training."""

    adapted: PeftModel
    dtype: torch.dtype
    history: list[TrainingStep]
    shots: ShotsRecord

    def model(self, *, merge: bool) -> PreTrainedModel | PeftModel:
        """The model with its adapters, or with `merge` the merged model; merging also removes them from
        `adapted`.
        """
        if not merge:
            return self.adapted
        # Merged in fp32: in bf16, small updates would be lost to rounding.
        return checkpoint.merge_adapter(self.adapted.float(), self.dtype)


@dataclass(frozen=True)
class Job:
    """All inputs of a tuning."""

    base: PreTrainedModel | Path
    task: Task
    settings: Tune
    seed: int
    data: str | None
    tokenizer: PreTrainedTokenizerBase | None
    device: str | None
    teacher: PreTrainedModel | Path | None = None
    texts: str | None = None
    """A local file that replaces the hub's text of `tune.replay`."""
    working: Working = field(default_factory=Working)

    def stage(self, *, merge: bool) -> Stage:
        """The tuning as a stage that writes the adapter and, with `merge`, the merged checkpoint."""
        settings = {"task": self.task.name, "merge": merge, **self.settings.model_dump(mode="json")}
        inputs = [model_inputs("base", self.base), self._rows]
        if self._needs_teacher():
            inputs.append(model_inputs("teacher", self._teacher().model))
        if self.settings.replay is not None:
            settings["replay"]["source"] = text_name(self.settings.replay.source, self._c4)
        digests = merged(inputs)
        if not merge:
            return Stage(STAGE, settings, digests, self._write, seed=self.seed, working=self.working)
        trained = Stage(
            TRAINED, {**settings, "of": STAGE}, digests, self._write, seed=self.seed, working=self.working
        )  # fmt: skip
        produce = partial(self._merge, trained)
        return Stage(STAGE, settings, digests, produce, seed=self.seed, working=self.working)

    def _write(self, folder: Path) -> None:
        tuned = self.run(folder.parent)
        write_trained(tuned.adapted, self.base, tuned.history, folder, tuned.shots)

    def _merge(self, stage: Stage, folder: Path) -> None:
        """Train into a working directory, so that a failed merge loses nothing; then merge."""
        trained = complete_beside(stage, folder.parent, self.working)
        self.working.trained()
        with kept(trained, folder):
            link_files(trained, folder, [FOLDER, HISTORY, SHOTS])
            write_merged(self.base, trained, folder, self.tokenizer)
            cut = what_was_cut(self.base) if isinstance(self.base, Path) else None
            if cut is not None:
                checkpoint.write_json(folder / CUT, cut.to_json())

    def run(self, cache: Path | None = None) -> Tuned:
        """Draw the shots, choose the prompt, run the teacher, train; does not change torch's generators.

        The teacher's outputs are stored in `cache`; without it, they are deleted at the end.
        """
        tokenizer, metric = self._tokenizer(), metric_of(self.task, self.settings)
        loaded: list[tuple[PreTrainedModel, torch.dtype]] = []

        def student() -> PreTrainedModel:
            loaded.append(self._model())
            return loaded[0][0]

        chosen = choose(student, tokenizer, self.task, self.settings, seed=self.seed, data=self.data)
        config = checkpoint.open_weights(self.base).config
        vocabulary = embedding_rows(config)
        longest = example_length(self.task, config)
        rounds = [encode(tokenizer, examples, longest, metric, vocabulary) for examples in chosen.rounds]
        texts: list[Shot] = []
        if self._needs_teacher():
            loaded.clear()  # teacher and student are never in memory at the same time
            with TemporaryDirectory() if cache is None else nullcontext(cache) as place:
                shots = list(chain.from_iterable(rounds))
                shots, texts = self._teacher().teach(
                    shots, Path(place), tokenizer, vocabulary, prompts_of(shots), self.working
                )
                taught = iter(shots)
                rounds = [list(islice(taught, len(examples))) for examples in chosen.rounds]
        first = chosen.rounds[0]
        held = hold_out(rounds[0], [e.gold for e in first], self.settings.early_stop, self.seed)
        replay = general_text(self.settings, tokenizer, config, self.seed, self.texts)
        model, dtype = loaded.pop() if loaded else self._model()
        out = set(map(id, held))
        trained = [place for place, shot in enumerate(rounds[0]) if id(shot) not in out]
        own, *others = [[shots[place] for place in trained] for shots in rounds]
        material = Material(own, held, texts, replay, others)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)  # for the adapters' initial values and dropout
            adapted = attach(model, self.settings.lora)
            history = fit(
                model, material, self.settings, seed=self.seed, title=f"tune {self.task.name}",
                name=lambda shot: f"row {first[shot.choices[0].question].row + 1}",
            )  # fmt: skip
        cut = sum(any(shot.choices[shot.gold].cut for shot in same) for same in zip(*rounds, strict=True))
        return Tuned(adapted, dtype, history, chosen.record.model_copy(update={"cut": cut}))

    def _needs_teacher(self) -> bool:
        return teaching(self.settings) is not None

    def _teacher(self) -> Teacher:
        if self.teacher is None:
            raise TuneError(
                f"tune.loss: {teaching(self.settings)} needs the unpruned model; name it: --teacher DIR "
                "(teacher=...)"
            )
        return Teacher(self.teacher, self.settings.distill, self.settings.precision, self.seed, self.device)

    def ready(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The base, loaded as for tuning, and its tokenizer."""
        return self._model()[0].eval(), self._tokenizer()

    def _model(self) -> tuple[PreTrainedModel, torch.dtype]:
        try:
            return load_base(self.base, self.settings.precision, self.device)
        except NotFiniteError as error:
            raise NotFiniteError(f"task {self.task.name}: {error}") from None

    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return tokenizer_of(self.base, self.tokenizer)

    def _rows(self) -> dict[str, str]:
        """Digests of the task, its rows, general text, a tokenizer that was passed as an object, and losses
        that are plugins."""
        inputs = task_inputs(self.task, self.data) | tokenizer_inputs(self.tokenizer)
        inputs |= plugin_inputs(LOSSES, self.settings.loss)
        if self.settings.replay is not None:
            inputs |= text_inputs("replay", self.settings.replay.source, self._c4)
        return inputs

    @property
    def _c4(self) -> dict[str, str]:
        return {"c4": self.texts} if self.texts is not None else {}
