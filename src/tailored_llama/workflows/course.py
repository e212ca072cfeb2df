"""The stages of a run of a recipe, in order: prune, heal, tune, evaluate, export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tailored_llama import checkpoint
from tailored_llama.data.shots import ALL, AUTO
from tailored_llama.recipe import Recipe
from tailored_llama.results import Results, Row, combine, results_of
from tailored_llama.stage import Slot, versions
from tailored_llama.stages.evaluate import evaluate
from tailored_llama.stages.export import export
from tailored_llama.stages.heal import heal
from tailored_llama.stages.prune import prune
from tailored_llama.stages.tune import tune
from tailored_llama.workflows.majority import majority
from tailored_llama.workflows.steps import (
    HARNESS,
    SAME,
    Course,
    Evaluation,
    Made,
    Step,
    calibrated_where_possible,
    cuts_of,
    last_cut,
    name_of,
    prompts_of,
    tuned,
    wordings,
)


def course_of(
    recipe: Recipe,
    scored: Sequence[str] = (SAME, HARNESS),
    *,
    dense_tuned: bool = True,
    tuned: bool = True,
) -> Course:
    """The stages of a run of `recipe`, which has no sweep.

    If the recipe scores in the tuned wording (`same`), the wordings in `scored` are used. Without
    `dense_tuned` the unpruned model is not tuned, which saves half of the time. Without `tuned` no model is
    tuned: the rows are those of the dense, pruned and healed models, in lm_eval's wording.
    """
    cuts = cut_steps(recipe)
    bases: dict[str, str | None] = {"dense": None, "pruned": "prune"}
    bases |= {"healed": "heal"} if recipe.heal else {}
    if not tuned:
        rows = [_evaluation(recipe, stage, base, HARNESS, texts=True) for stage, base in bases.items()]
        return Course(cuts, (), [row for row in rows if row.steps], ())
    tunings = tune_steps(recipe)
    if dense_tuned:
        tunings += tune_steps(recipe, dense=True)
        bases["dense_tuned"] = None
    bases["tuned"] = last_cut(recipe)
    evaluations = [
        # Perplexity does not depend on the wording: it is measured once.
        _evaluation(recipe, stage, base, wording, texts=wording == recipe.evaluate.prompt)
        for wording in (scored if recipe.evaluate.prompt == SAME else (recipe.evaluate.prompt,))
        for stage, base in bases.items()
    ]
    evaluations = [evaluation for evaluation in evaluations if evaluation.steps]
    course = Course(cuts, tunings, evaluations, ())
    exports = [_export(recipe, course, task, form) for task in recipe.tasks for form in recipe.export.formats]
    return Course(cuts, tunings, evaluations, exports)


def results_from(recipe: Recipe, course: Course, made: Made) -> Results:
    """`results.json` of a run, from the rows of its evaluations."""
    rows: list[Row] = []
    for evaluation in course.evaluations:
        own = [made.rows[step.name] for step in evaluation.steps]
        rows += [*own, combine(own)] if evaluation.combined else own
    if course.tunings and made.majority is None:  # the same for every export that quotes the results
        made.majority = majority(recipe, {name: row.tasks[name] for row in rows for name in row.tasks})
    return results_of(rows, recipe.model_dump(mode="json"), versions(), majority=made.majority)


def cut_steps(recipe: Recipe) -> list[Step]:
    """Prune and, if the recipe has a `heal` section, heal. With several rounds, each round removes the same
    share of the remaining parameters. Tuning starts from the last model.
    """
    rounds, settings = cuts_of(recipe)
    by_task = settings.calibration.source == "task"
    steps: list[Step] = []
    before: str | None = None
    for number in range(1, rounds + 1):
        which = "" if number == rounds else f"-{number}"

        def cut(made: Made, slot: Slot, before: str | None = before) -> Path:
            return prune(
                base_of(recipe, before, made), settings=settings, seed=recipe.seed, tasks=recipe.tasks,
                data=recipe.data, device=recipe.device, out=slot,
            )  # fmt: skip

        def learn(made: Made, slot: Slot, base: str = f"prune{which}", number: int = number) -> Path:
            assert recipe.heal
            return heal(
                made.places[base], teacher=recipe.model, tasks=recipe.tasks, settings=recipe.heal,
                shots=recipe.tune, seed=recipe.seed, number=number, data=recipe.data,
                device=recipe.device, out=slot,
            )  # fmt: skip

        decided = {"model": recipe.model, "prune": settings.model_dump(mode="json"), "seed": recipe.seed}
        decided |= {"tasks": recipe.tasks} if by_task else {}
        needs = (before,) if before else ()
        steps.append(Step("prune", f"prune{which}", cut, needs, decided, number - 1, recipe.tasks))
        before = steps[-1].name
        if recipe.heal:
            decided = {
                "heal": recipe.heal.model_dump(mode="json"), "drawn": recipe.tune.drawing,
                "tasks": recipe.tasks, "round": number, "seed": recipe.seed,
            }  # fmt: skip
            steps.append(Step("heal", f"heal{which}", learn, (before,), decided, number, recipe.tasks))
            before = steps[-1].name
    return steps


def base_of(recipe: Recipe, base: str | None, made: Made) -> Path:
    """The directory of the model that the stage `base` wrote, or of the dense model."""
    return checkpoint.resolve(recipe.model) if base is None else made.places[base]


def tune_steps(recipe: Recipe, *, dense: bool = False) -> list[Step]:
    """One adapter per task on the smaller model, or on the dense model in the wordings chosen for the smaller
    one.
    """
    base = None if dense else last_cut(recipe)
    chosen = dense and recipe.tune.prompt == AUTO

    def step(task: str) -> Step:
        def complete(made: Made, slot: Slot) -> Path:
            prompt = prompts_of(recipe, made)[task] if chosen else recipe.tune.prompt
            return tune(
                base_of(recipe, base, made), task=task,
                settings=recipe.tune.model_copy(update={"prompt": prompt}), seed=recipe.seed,
                data=recipe.data, teacher=recipe.model, merge=False, device=recipe.device, out=slot,
            )  # fmt: skip

        needs = [base] if base else []
        needs += [tuned(task)] if chosen else []
        decided = {
            "model": recipe.model,
            "tune": recipe.tune.model_dump(mode="json"),
            "task": task,
            "seed": recipe.seed,
        }
        cuts = 0 if dense else cuts_of(recipe)[0]
        return Step("tune", tuned(task, dense=dense), complete, tuple(needs), decided, cuts, (task,))

    return [step(task) for task in recipe.tasks]


def _evaluation(recipe: Recipe, stage: str, base: str | None, wording: str, *, texts: bool) -> Evaluation:
    """One model in one wording: without an adapter or, if it was tuned, with each task's adapter. With
    `texts` its perplexities are also measured.
    """
    scored = tuple(wordings(recipe, {}, wording))
    if stage not in ("tuned", "dense_tuned"):
        steps = [_row(recipe, stage, base, wording, scored, texts=texts)] if scored else []
    elif len(recipe.tasks) == 1:
        steps = [_row(recipe, stage, base, wording, scored, recipe.tasks[0], texts=texts)] if scored else []
    else:
        own = [task for task in recipe.tasks if task in scored]
        steps = [_row(recipe, stage, base, wording, (task,), task, texts=texts) for task in own]
        return Evaluation(tuple(steps), combined=True)
    return Evaluation(tuple(steps), combined=False)


def _row(
    recipe: Recipe,
    stage: str,
    base: str | None,
    wording: str,
    scored: tuple[str, ...],
    task: str | None = None,
    *,
    texts: bool,
) -> Step:
    """One row: a model, with the adapter of `task` if given, on the tasks `scored`."""
    settings = recipe.evaluate
    if not texts:
        settings = settings.model_copy(update={"perplexity": (), "kl": False})
    tuned_to = name_of(task) if task else None
    adapter = tuned(task, dense=stage == "dense_tuned") if task else None
    chosen = wording == SAME and recipe.tune.prompt in (AUTO, ALL)

    def complete(made: Made, slot: Slot) -> Row:
        # The wording is chosen once, on the pruned model: all rows of a run share it.
        in_wording = wordings(recipe, prompts_of(recipe, made) if wording == SAME else {}, wording)
        measured = evaluate(
            base_of(recipe, base, made), adapter=made.places[adapter] if adapter else None, tasks=scored,
            prompts={name: in_wording[name] for name in scored}, data=recipe.data,
            settings=calibrated_where_possible(recipe, settings, {name: in_wording[name] for name in scored}),
            reference=recipe.model, seed=recipe.seed, device=recipe.device, out=slot,
        )  # fmt: skip
        return measured.model_copy(update={"stage": stage, "task_tuned": tuned_to, "prompt": wording})

    needs = [name for name in (base, adapter) if name]
    needs += [tuned(name) for name in recipe.tasks] if chosen else []
    decided: Mapping[str, Any] = {
        "model": recipe.model, "evaluate": settings.model_dump(mode="json"), "tasks": scored,
        "prompt": recipe.tune.prompt if wording == SAME else wording,
        "seed": recipe.seed if settings.fewshot else None,
    }  # fmt: skip
    return Step(
        "evaluate", "-".join(part for part in ("evaluate", stage, wording, tuned_to) if part), complete,
        tuple(dict.fromkeys(needs)), decided, cuts_of(recipe)[0] if base else 0, scored, wording,
        settings.perplexity,
    )  # fmt: skip


def _export(recipe: Recipe, course: Course, task: str, form: str) -> Step:
    """A merged model with a card that contains the results."""
    base, adapter = last_cut(recipe), tuned(task)

    def complete(made: Made, slot: Slot) -> Path:
        results = results_from(recipe, course, made)
        return export(
            made.places[base], to=form, adapter=made.places[adapter], results=results, out=slot
        )  # fmt: skip

    needs = (base, adapter, *(step.name for step in course.scored))
    return Step(
        "export", f"export-{form}-{name_of(task)}", complete, needs, {"to": form}, cuts_of(recipe)[0], (task,)
    )
