"""The stages of one run, in order: prune, heal, tune, evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tailored_llama import checkpoint
from tailored_llama.recipe import Recipe
from tailored_llama.results import Results, Row, combine, results_of
from tailored_llama.stage import Store, versions
from tailored_llama.stages.evaluate import evaluate
from tailored_llama.stages.heal import heal
from tailored_llama.stages.prune import prune
from tailored_llama.stages.tune import chosen_prompt, tune
from tailored_llama.workflows.steps import HARNESS, SAME, cuts_of, name_of, wordings


def tailor(
    recipe: Recipe,
    store: Store,
    asked: Sequence[str] = (SAME, HARNESS),
    *,
    dense_tuned: bool = True,
    tuned: bool = True,
) -> tuple[Results, Path, dict[str, Path]]:
    """Prune, heal, tune and evaluate: `results.json`, the directory that tuning began with, and each task's
    adapter on it.

    Of a recipe that scores in the tuned wording (`same`), the wordings in `asked` are scored. Without
    `dense_tuned` the unpruned model is not tuned, which takes half of the time. Without `tuned` no model is:
    the rows are those of whole models, in lm_eval's wording.
    """
    dense = checkpoint.resolve(recipe.model)
    small = shrink(recipe, dense, store)
    store.release()
    base = [*small.values()][-1]
    if not tuned:
        rows = evaluate_all(recipe, {"dense": dense, **small}, {}, {}, HARNESS, store, texts=True)
        return results_of(rows, recipe.model_dump(mode="json"), versions()), base, {}
    adapters = {"tuned": tune_all(recipe, base, store, "tune")}
    # The wording is chosen once, on the model that is being tailored: every row of a run shares it.
    prompts = {task: chosen_prompt(adapter) for task, adapter in adapters["tuned"].items()}
    bases = {"dense": dense, **small}
    if dense_tuned:
        adapters["dense_tuned"] = tune_all(recipe, dense, store, "tune-dense", prompts)
        bases["dense_tuned"] = dense
    store.release(everything=True)  # not before: both tunings of a task ask the teacher the same
    bases["tuned"] = base
    rows = []
    for wording in asked if recipe.evaluate.prompt == SAME else (HARNESS,):
        # Perplexity knows no wording: it is measured once.
        texts = wording == recipe.evaluate.prompt
        rows += evaluate_all(recipe, bases, adapters, prompts, wording, store, texts=texts)
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
    *,
    texts: bool,
) -> list[Row]:
    """The rows of one wording: each model alone or, where its row has `adapters`, with each of them, and with
    all of them together. With `texts` their perplexities are measured too.
    """
    asked = wordings(recipe, prompts, wording)
    scored = tuple(asked)
    if not scored:
        return []

    def row(stage: str, tasks: tuple[str, ...], task: str | None = None) -> Row:
        settings, base = recipe.evaluate, bases[stage]
        if not texts:
            settings = settings.model_copy(update={"perplexity": (), "kl": False})
        tuned_to = name_of(task) if task else None
        name = "-".join(part for part in ("evaluate", stage, wording, tuned_to) if part)
        adapter = adapters[stage][task] if task else None
        chosen = {t: asked[t] for t in tasks}
        measured = evaluate(
            base, adapter=adapter, tasks=tasks, prompts=chosen, data=recipe.data, settings=settings,
            reference=recipe.model, seed=recipe.seed, out=store.slot(name),
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
