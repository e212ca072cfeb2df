"""The whole story on one screen: prune, heal, tune, evaluate, export, report.

Every stage maps a directory to a directory and returns at once where its directory is already complete,
so a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tailored_llama import checkpoint
from tailored_llama.data import load_task, shots
from tailored_llama.data.text_windows import check_source
from tailored_llama.errors import RecipeError
from tailored_llama.names import same_name
from tailored_llama.recipe import Prune, Recipe, load_recipe
from tailored_llama.reporting import report
from tailored_llama.results import Results, Row, SweepResults, combine, results_of
from tailored_llama.stage import Store, run_directory, versions
from tailored_llama.stages.evaluate import evaluate
from tailored_llama.stages.evaluate.perplexity import check_corpus, window_of
from tailored_llama.stages.evaluate.questions import check_split
from tailored_llama.stages.export import export
from tailored_llama.stages.heal import heal
from tailored_llama.stages.prune import check_request, prune
from tailored_llama.stages.tune import chosen_prompt, tune
from tailored_llama.training.losses import metric_of
from tailored_llama.training.replay import held_count
from tailored_llama.workflows.contents import unchanged
from tailored_llama.workflows.disk import announce

SAME, HARNESS, DENSE = "same", "harness", "dense-"


def run(
    recipe: str | Path | Mapping[str, Any] | Recipe, out: str | Path, *, verify: bool = False
) -> Results | SweepResults:
    """Tailor a model to every task of `recipe` and write the evidence to the directory `out`.

    A recipe with a `sweep` is run once for each of its cells. With `verify`, every file of what is there is
    read again before it is reused; else only files whose size, times or inode changed. Returns the contents
    of `results.json`, or of the sweep's `sweep.json`. Raises a TailorError for what the user can fix.
    """
    recipe = load_recipe(recipe)
    with checkpoint.in_full(verify), checkpoint.accepting(recipe.allow_config):
        return _run(recipe, Path(out))


def _run(recipe: Recipe, out: Path) -> Results | SweepResults:
    if recipe.sweep is not None:
        from tailored_llama.workflows.sweep import sweep  # which runs the stages of this module, cell by cell

        return sweep(recipe, out)
    check(recipe)
    announce(recipe, out)
    with run_directory(out, recipe=recipe.model_dump(mode="json")):
        store = Store(out, check=unchanged(recipe), keep=recipe.keep == "all")
        results, base, adapters = tailor(recipe, store)
        for task, adapter in adapters.items():
            for form in recipe.export.formats:
                slot = store.slot(f"export-{form}-{name_of(task)}")
                export(base, to=form, adapter=adapter, results=results, out=slot)
        checkpoint.write_json(out / "results.json", results.to_json())
        store.clear()
        report([out], out / "report.html")
    return results


def tailor(
    recipe: Recipe, store: Store, asked: Sequence[str] = (SAME, HARNESS), *, dense_tuned: bool = True
) -> tuple[Results, Path, dict[str, Path]]:
    """Prune, heal, tune and evaluate: `results.json`, the directory that tuning began with, and each task's
    adapter on it.

    Of a recipe that scores in the tuned wording (`same`), the wordings in `asked` are scored. Without
    `dense_tuned` the unpruned model is not tuned, which takes half of the time.
    """
    dense = checkpoint.resolve(recipe.model)
    small = shrink(recipe, dense, store)
    store.release()
    base = [*small.values()][-1]
    adapters = {"tuned": tune_all(recipe, base, store, "tune")}
    # The wording is chosen once, on the model that is being tailored: every row of a run shares it.
    prompts = {task: chosen_prompt(adapter) for task, adapter in adapters["tuned"].items()}
    bases = {"dense": dense, **small}
    if dense_tuned:
        adapters["dense_tuned"] = tune_all(recipe, dense, store, "tune-dense", prompts)
        bases["dense_tuned"] = dense
    store.release(everything=True)  # not before: both tunings of a task ask the teacher the same
    bases["tuned"] = base
    rows: list[Row] = []
    for wording in asked if recipe.evaluate.prompt == SAME else (HARNESS,):
        rows += evaluate_all(recipe, bases, adapters, prompts, wording, store)
    return results_of(rows, recipe.model_dump(mode="json"), versions()), base, adapters["tuned"]


def shrink(recipe: Recipe, dense: Path, store: Store) -> dict[str, Path]:
    """The smaller models by the names of their rows: `pruned`, cut for the last time, and `healed` after it.

    Tuning starts from the last. Of several rounds each cuts the same share of what is left.
    """
    rounds, settings = cuts_of(recipe)
    base, found = dense, dict[str, Path]()
    for number in range(1, rounds + 1):
        which = "" if number == rounds else f"-{number}"
        base = found["pruned"] = prune(
            base, settings=settings, seed=recipe.seed, tasks=recipe.tasks, data=recipe.data,
            out=store.slot(f"prune{which}"),
        )  # fmt: skip
        if recipe.heal:
            base = found["healed"] = heal(
                base, teacher=recipe.model, tasks=recipe.tasks, settings=recipe.heal, shots=recipe.tune,
                seed=recipe.seed, number=number, data=recipe.data, out=store.slot(f"heal{which}"),
            )  # fmt: skip
    return found


def cuts_of(recipe: Recipe) -> tuple[int, Prune]:
    """How many times the model is cut, and the settings of each cut."""
    rounds = recipe.heal.rounds if recipe.heal else 1
    share = 1 - (1 - recipe.prune.ratio) ** (1 / rounds) if rounds > 1 else recipe.prune.ratio
    return rounds, recipe.prune.model_copy(update={"ratio": share})


def check(recipe: Recipe) -> None:
    """Find before the first long stage what would stop a later one: a split, too few rows, a prompt, a loss
    that does not fit, a text that is not there, a cut that the model does not allow. None of it depends on
    the seed.
    """
    if not recipe.tasks:
        raise RecipeError("recipe: tasks: name at least one task to tailor the model to, e.g. tasks: [boolq]")
    if recipe.evaluate.prompt not in (SAME, HARNESS):
        raise RecipeError(
            f"recipe: evaluate.prompt: a run scores in the tuned wording and in lm_eval's (same), or only "
            f"in lm_eval's (harness), not in '{recipe.evaluate.prompt}'; to tune in that, set tune.prompt"
        )
    check_source(recipe.prune.calibration.source)
    if recipe.tune.replay:
        check_source(recipe.tune.replay.source, "tune.replay.source")
    for entry in recipe.evaluate.perplexity:
        check_corpus(window_of(entry, recipe.evaluate.length)[0], recipe.data)
    held_count(recipe.tune.early_stop, recipe.tune.shots)
    tasks = {name: load_task(name) for name in dict.fromkeys((*recipe.tasks, *(recipe.evaluate.tasks or ())))}
    _check_names([task.name for task in tasks.values()])
    for name, task in tasks.items():
        check_split(task, recipe.evaluate.split)
        data = recipe.data.get(task.name)
        scored = task.rows("scored", data)
        if name in recipe.tasks:
            metric_of(task, recipe.tune)
            if recipe.tune.prompt != "auto":
                task.prompt(recipe.tune.prompt)
            shots.draw(
                task, task.rows("train", data), recipe.tune.shots, recipe.seed, scored=scored,
                select=recipe.tune.select, overlap=recipe.tune.overlap,
            )  # fmt: skip
    if recipe.evaluate.prompt == HARNESS and not wordings(recipe, {}, HARNESS):
        raise RecipeError(
            f"recipe: evaluate.prompt: no task has the wording '{HARNESS}' to be scored in; set it to "
            f"'{SAME}', or add that wording to a task file"
        )
    check_request(checkpoint.open_weights(recipe.model), cuts_of(recipe)[1])


def _check_names(names: Sequence[str]) -> None:
    """RecipeError where two tasks would share a directory or a row: their names differ in no more than case,
    or one is `dense-` and the other, which is where the unpruned model is tuned.
    """
    twice = same_name([*names, *(f"{DENSE}{name}" for name in names)])
    if twice:
        raise RecipeError(
            f"recipe: tasks: two tasks would be called '{twice}' in this run; give one of them another name"
        )


def name_of(task: str) -> str:
    """A task's own name, which a path to its file does not tell."""
    return load_task(task).name


def tune_all(
    recipe: Recipe, base: Path, store: Store, prefix: str, prompts: Mapping[str, str] | None = None
) -> dict[str, Path]:
    """One adapter a task on `base`; with `prompts`, in these wordings instead of the recipe's."""
    adapters = {}
    for task in recipe.tasks:
        settings = recipe.tune.model_copy(update={"prompt": prompts[task]}) if prompts else recipe.tune
        adapters[task] = tune(
            base, task=task, settings=settings, seed=recipe.seed, data=recipe.data,
            teacher=recipe.model, merge=False,
            out=store.slot(f"{prefix}-{name_of(task)}"),
        )  # fmt: skip
    return adapters


def evaluate_all(
    recipe: Recipe,
    bases: Mapping[str, Path],
    adapters: Mapping[str, Mapping[str, Path]],
    prompts: Mapping[str, str],
    wording: str,
    store: Store,
) -> list[Row]:
    """The rows of one wording: each model alone or, where its row has `adapters`, with each of them, and with
    all of them together.
    """
    asked = wordings(recipe, prompts, wording)
    scored = tuple(asked)
    if not scored:
        return []

    def row(stage: str, tasks: tuple[str, ...], task: str | None = None) -> Row:
        settings, base = recipe.evaluate, bases[stage]
        tuned_to = name_of(task) if task else None
        name = "-".join(part for part in ("evaluate", stage, wording, tuned_to) if part)
        adapter = adapters[stage][task] if task else None
        # Perplexity knows no wording: it is measured once.
        corpora = settings.perplexity if wording == settings.prompt else ()
        chosen = {t: asked[t] for t in tasks}
        measured = evaluate(
            base, adapter=adapter, tasks=tasks, prompts=chosen, data=recipe.data, limit=settings.limit,
            perplexity=corpora, length=settings.length, fewshot=settings.fewshot, seed=recipe.seed,
            split=settings.split, batch_size=settings.batch_size, out=store.slot(name),
        )  # fmt: skip
        return measured.model_copy(update={"stage": stage, "task_tuned": tuned_to, "prompt": wording})

    rows = []
    for stage in bases:
        if stage not in adapters:
            rows.append(row(stage, scored))
        elif len(recipe.tasks) == 1:
            rows.append(row(stage, scored, recipe.tasks[0]))
        else:
            own = [row(stage, (task,), task) for task in recipe.tasks if task in asked]
            rows += [*own, combine(own)] if own else []
    return rows


def wordings(recipe: Recipe, prompts: Mapping[str, str], wording: str) -> dict[str, str]:
    """The prompt in which each scored task is asked; one that lm_eval does not know has no `harness` wording.

    A task that is scored but not tailored to has no tuned wording: in `same` it is asked in its stock one.
    """
    asked = {}
    for task in recipe.evaluate.tasks or recipe.tasks:
        stock = load_task(task).stock
        if wording == SAME:
            asked[task] = prompts.get(task, stock)
        elif stock == HARNESS:
            asked[task] = HARNESS
    return asked
