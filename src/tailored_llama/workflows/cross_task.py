"""The cross-prompt experiment (Aftab and Davy 2024): tuned on each task's prompts, tested on every task.

One pruned (and healed) model, an adapter for every task and one for general instructions, and a cell for each
adapter on each task. The stages are those of a run: in the directory of a run of the same recipe, existing
stages are reused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tailored_llama import checkpoint
from tailored_llama.data import load_task
from tailored_llama.data.instructions import (
    NAME,
    WORDING,
    general_task,
    read_instructions,
    world_instructions,
)
from tailored_llama.errors import RecipeError
from tailored_llama.names import same_name
from tailored_llama.recipe import Document, Recipe, load_recipe
from tailored_llama.reporting import report_matrix
from tailored_llama.results import MatrixResults, Row, TaskFigures, mean
from tailored_llama.stage import NotComplete, Slot, Store, run_directory, versions
from tailored_llama.stages.evaluate import evaluate
from tailored_llama.stages.tune import tune
from tailored_llama.workflows.contents import unchanged
from tailored_llama.workflows.course import cut_steps, tune_steps
from tailored_llama.workflows.outlook import Pace, outlook, start
from tailored_llama.workflows.preflight import check
from tailored_llama.workflows.steps import (
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
from tailored_llama.workflows.tailor import complete_all
from tailored_llama.workflows.workload import Workload

UNTUNED = "untuned"
FILE, ROWS = "matrix.json", "train.jsonl"
LONGEST_CELL = 160
"""Bytes of the name of a cell's directory."""


def matrix(
    recipe: str | Path | Document | Recipe, out: str | Path, *, general: str | Path | None = None
) -> MatrixResults:
    """Prune (and heal) once, tune on each of the recipe's tasks and on general instructions, test on all.

    The recipe contains the model and all settings, as for `run`. All cells of a column are scored in the
    wording that the column's task was tuned in, so that they are comparable. The general instructions are
    rows of the file `general` (`instruction`, `input`, `output`); `tune.shots` of them are drawn. For the
    bundled world they come from its stories.

    Returns the contents of `matrix.json` in `out`; `matrix.png` and `matrix.html` show them. Raises a
    TailorError for user errors.
    """
    recipe = load_recipe(recipe)
    if recipe.sweep is not None:
        raise RecipeError("recipe: sweep: a matrix is of one setting; leave the sweep out, or use tailor run")
    with checkpoint.accepting(recipe.allow_config):
        return _matrix(recipe, Path(out), general)


def _matrix(recipe: Recipe, out: Path, general: str | Path | None) -> MatrixResults:
    check(recipe)
    _check_names([*map(name_of, dict.fromkeys((*recipe.tasks, *(recipe.evaluate.tasks or ()))))])
    instructions = _instructions(recipe, general)
    folder = out.resolve() / NAME
    shared, tuning, cells = [*cut_steps(recipe), *tune_steps(recipe)], _tuning(recipe, folder), _cells(recipe)
    every = [step for row in cells.values() for step in row.values()]
    ahead = outlook(Workload(recipe), [*shared, tuning, *every], out)
    start(ahead.line, ahead.need, ahead.there, out)
    with run_directory(out, recipe=recipe.model_dump(mode="json")):
        keep = recipe.keep == "all"
        store, own = (
            Store(out, owner=owner, check=unchanged(recipe), keep=keep) for owner in ("run", "matrix")
        )
        made, pace = Made(), Pace.of(ahead.stages)
        complete_all(shared, made, store, pace)
        checkpoint.write_lines(folder / ROWS, instructions)
        complete_all([tuning], made, own, pace)
        store.release(everything=True)
        complete_all(every, made, own, pace)
        results = _assemble(recipe, cells, made, str(general or "world"))
        checkpoint.write_json(out / FILE, results.to_json())
        own.clear()
        report_matrix(results, out)
    return results


def _check_names(tasks: Sequence[str]) -> None:
    """RecipeError if the name of a cell is too long for a directory, or not unique."""
    names = [f"cell-{row}-{task}" for row in (UNTUNED, NAME, *tasks) for task in tasks]
    longest = max(names, key=lambda name: len(name.encode()))
    if len(longest.encode()) > LONGEST_CELL:
        raise RecipeError(f"recipe: tasks: '{longest}' is too long for a directory; use shorter task names")
    duplicate = NAME if NAME in tasks else same_name(names)
    if duplicate:
        raise RecipeError(
            f"recipe: tasks: two cells of the matrix would be named '{duplicate}'; rename one of the tasks"
        )


def _instructions(recipe: Recipe, general: str | Path | None) -> list[dict[str, str]]:
    """All rows to draw from; called before anything is computed."""
    for task in map(name_of, recipe.tasks):
        if task in (UNTUNED, NAME):
            raise RecipeError(f"the matrix reserves the row name '{task}'; rename the task of that name")
    if general is not None:
        rows, where = read_instructions(Path(general)), str(general)
    elif all(load_task(task).world for task in recipe.tasks):
        rows, where = world_instructions(), "the bundled world"
    else:
        raise RecipeError(
            "the matrix needs general instructions for comparison: --general FILE.jsonl, with the fields "
            "instruction, input and output in each row"
        )
    if len(rows) < recipe.tune.shots:
        raise RecipeError(
            f"{recipe.tune.shots} shots requested, but {where} has {len(rows)} general instructions; "
            f"request fewer (--shots {len(rows)})"
        )
    return rows


def _tuning(recipe: Recipe, folder: Path) -> Step:
    """The adapter for the general instructions in `folder`: the recipe's settings without the loss `choice`,
    since instructions have no choices.
    """
    losses = {name: weight for name, weight in recipe.tune.loss.items() if name != "choice"}
    settings = recipe.tune.model_copy(update={"prompt": WORDING, "loss": losses or {"answer": 1.0}})

    def complete(made: Made, slot: Slot) -> Path:
        if not (folder / ROWS).is_file():  # the matrix writes them at its start
            raise NotComplete(slot.name)
        return tune(
            made.places[last_cut(recipe)], task=general_task(folder), settings=settings, seed=recipe.seed,
            teacher=recipe.model, device=recipe.device, out=slot, merge=False,
        )  # fmt: skip

    # The estimate assumes rows like those of the first task.
    return Step(
        "tune", f"tune-{NAME}", complete, (last_cut(recipe),), cuts=cuts_of(recipe)[0], tasks=recipe.tasks[:1]
    )


def _cells(recipe: Recipe) -> dict[str, dict[str, Step]]:
    """By row and column: the smaller model with the row's adapter, scored on the column's task."""
    adapters = {UNTUNED: None, **{name_of(task): tuned(task) for task in recipe.tasks}, NAME: f"tune-{NAME}"}
    columns = wordings(recipe, {}, recipe.evaluate.prompt)
    return {
        row: {name_of(task): _cell(recipe, row, adapter, task) for task in columns}
        for row, adapter in adapters.items()
    }


def _cell(recipe: Recipe, row: str, adapter: str | None, task: str) -> Step:
    settings, base = recipe.evaluate.model_copy(update={"perplexity": (), "kl": False}), last_cut(recipe)

    def complete(made: Made, slot: Slot) -> Row:
        prompts = wordings(recipe, prompts_of(recipe, made), settings.prompt)
        return evaluate(
            made.places[base], adapter=made.places[adapter] if adapter else None, tasks=(task,),
            prompts={task: prompts[task]}, data=recipe.data, seed=recipe.seed,
            device=recipe.device, out=slot,
            settings=calibrated_where_possible(recipe, settings, {task: prompts[task]}),
        )  # fmt: skip

    needs = (base, *([adapter] if adapter else []), *map(tuned, recipe.tasks))
    return Step(
        "evaluate", f"cell-{row}-{name_of(task)}", complete, tuple(dict.fromkeys(needs)),
        cuts=cuts_of(recipe)[0], tasks=(task,), wording=settings.prompt,
    )  # fmt: skip


def _figures(row: Row) -> TaskFigures:
    """The figures of the single task of a cell, without the samples."""
    (figures,) = row.tasks.values()
    return TaskFigures.model_validate(
        {key: value for key, value in dict(figures).items() if key != "samples"}
    )


def _assemble(
    recipe: Recipe, steps: Mapping[str, Mapping[str, Step]], made: Made, general: str
) -> MatrixResults:
    """The cells and their means: of each row, of the diagonal, and of the off-diagonal cells of the rows that
    were tuned on a task.
    """
    cells = {
        row: {column: _figures(made.rows[step.name]) for column, step in own.items()}
        for row, own in steps.items()
    }
    prompts = {name_of(task): prompt for task, prompt in prompts_of(recipe, made).items()}
    tuned = [row for row in cells if row not in (UNTUNED, NAME)]
    columns = list(next(iter(cells.values())))
    own = [cells[row][row].main for row in tuned if row in columns]
    foreign = [cells[row][column].main for row in tuned for column in columns if row != column]
    return MatrixResults(
        columns=list(columns), tuned_in={**prompts, NAME: WORDING}, cells=cells,
        means={row: mean(entry.main for entry in by_task.values()) for row, by_task in cells.items()},
        diagonal=mean(own) if own else None, beside=mean(foreign) if foreign else None,
        general={"source": general, "rows": recipe.tune.shots},
        recipe=recipe.model_dump(mode="json"), versions=versions(),
    )  # fmt: skip
