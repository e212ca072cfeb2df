"""Is `prompt: auto` worth it? Tuned accuracy of what it picks, against every fixed wording, over seeds.

`python benchmarks/prompt_auto.py --out DIR [--split validation|test] [--seeds 5] [--tasks A,B] [--limit N]
[--auto untuned,tuned] [--recipe demo] [--set KEY=VALUE ...] [--write docs/guide/prompts.md]`.

The model is pruned once, as the recipe says. For each seed and task, its shots are drawn from the training
split; the pruned model is tuned on them in every wording, and each is asked the split. `auto` picks among the
wordings on these shots alone; what it scores is what the wording it picked scores, since a tuning does not
depend on how its wording was come by. `--auto` names the ways of picking (see `tune.auto`).

While anything is still being chosen, ask `--split validation`; `--split test` once, at the end. Everything is
kept in DIR, stage by stage: the same command goes on where it stopped. Intervals are paired bootstraps over
seeds and questions, as in a sweep. `--write` puts the table between the marks of that page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailored_llama import checkpoint, evaluate, prune, tune
from tailored_llama.cli.options import assignments, names
from tailored_llama.data import Split, Task, load_task
from tailored_llama.recipe import Recipe, load_recipe
from tailored_llama.scoring.bootstrap import Answers, Draws, difference, mean_draws
from tailored_llama.stage import Stage, complete
from tailored_llama.stage.inputs import merged, model_inputs, task_inputs
from tailored_llama.stages.tune import rank_wordings

BEGIN, END = "<!-- prompt_auto: begin -->", "<!-- prompt_auto: end -->"
Right = dict[str, dict[str, list[list[float]]]]
"""Of each task and wording, for each seed, how right every question was answered."""


def data_of(recipe: Recipe, task: Task, split: Split, out: Path) -> str | None:
    """Where the task's rows are: as they are, or, to be asked another split, as files in which that one
    stands in the place of the scored one.
    """
    if split == task.scored:
        return recipe.data.get(task.name)
    folder = out / f"rows-{task.name}-{split}"
    folder.mkdir(parents=True, exist_ok=True)
    sources: dict[str, Split] = {"train": "train", task.scored: split}
    for name, source in sources.items():
        rows = task.rows(source, recipe.data.get(task.name))
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return str(folder)


def measure(
    recipe: Recipe, seeds: list[int], split: Split, ways: list[str], out: Path
) -> tuple[Right, dict[str, dict[str, list[str]]]]:
    """What every wording scores, and which one every way of picking took: by way and task, for each seed."""
    pruned = prune(
        checkpoint.resolve(recipe.model), settings=recipe.prune, seed=recipe.seed, tasks=recipe.tasks,
        data=recipe.data, out=out / "prune",
    )  # fmt: skip
    right: Right = {}
    picks: dict[str, dict[str, list[str]]] = {way: {} for way in ways}
    for named in recipe.tasks:
        task = load_task(named)
        place = data_of(recipe, task, split, out)
        data = {task.name: place} if place else {}
        for seed in seeds:
            for prompt in task.prompts:
                name = f"{split}-{task.name}-{prompt}-{seed}"
                tuned = tune(
                    pruned, task=named, settings=recipe.tune.model_copy(update={"prompt": prompt}), seed=seed,
                    data=data, teacher=recipe.model, out=out / f"tune-{name}", merge=False,
                )  # fmt: skip
                asked = out / f"evaluate-{name}"
                evaluate(
                    pruned, adapter=str(tuned), tasks=[named], prompts={named: prompt}, data=data,
                    limit=recipe.evaluate.limit, out=asked,
                )  # fmt: skip
                (answers,) = checkpoint.read_json(asked / "right.json").values()
                right.setdefault(task.name, {}).setdefault(prompt, []).append(answers)
            for way in ways:
                pick = picked(
                    pruned, named, recipe, seed, way, data, out / f"pick-{split}-{task.name}-{way}-{seed}"
                )
                picks[way].setdefault(task.name, []).append(pick)
    return right, picks


def picked(
    pruned: Any, task: str, recipe: Recipe, seed: int, way: str, data: Mapping[str, str], out: Path
) -> str:
    """The wording that `auto` takes; kept in `out`, a stage of its own."""
    settings = recipe.tune.model_copy(update={"prompt": "auto", "auto": way})

    def produce(folder: Path) -> None:
        ranking = rank_wordings(pruned, task=task, settings=settings, seed=seed, data=data)
        checkpoint.write_json(folder / "pick.json", {"prompt": ranking.wordings[0].prompt})

    known = load_task(task)
    inputs = [model_inputs("base", Path(pruned)), lambda: task_inputs(known, data.get(known.name))]
    stage = Stage("pick", settings.model_dump(mode="json"), merged(inputs), produce, seed=seed)
    return str(checkpoint.read_json(complete(stage, out) / "pick.json")["prompt"])


def arms(right: Right, picks: dict[str, dict[str, list[str]]]) -> dict[str, Answers]:
    """What is compared: every way of `auto`; each wording that all tasks have; of each task the wording that
    is best in hindsight; and what a wording scores in the mean.
    """
    shared = set.intersection(*(set(by_prompt) for by_prompt in right.values()))
    found: dict[str, Answers] = {
        f"auto ({way})": {
            task: [right[task][prompt][seed] for seed, prompt in enumerate(by_seed)]
            for task, by_seed in by_task.items()
        }
        for way, by_task in picks.items()
    }
    for prompt in (p for p in next(iter(right.values())) if p in shared):
        found[f"always {prompt}"] = {task: by_prompt[prompt] for task, by_prompt in right.items()}
    found["best in hindsight"] = {
        task: max(by_prompt.values(), key=lambda seeds: sum(map(sum, seeds)))
        for task, by_prompt in right.items()
    }
    found["mean wording"] = {
        task: [
            [
                sum(answer) / len(answer)
                for answer in zip(*(seeds[seed] for seeds in by_prompt.values()), strict=True)
            ]
            for seed in range(len(next(iter(by_prompt.values()))))
        ]
        for task, by_prompt in right.items()
    }
    return found


def summary(right: Right, picks: dict[str, dict[str, list[str]]]) -> dict[str, Any]:
    """Every arm's mean with its interval, by task its mean, and every `auto` minus each of the others."""
    compared = arms(right, picks)
    draws: dict[str, Draws] = {name: mean_draws(answers) for name, answers in compared.items()}
    autos = [name for name in compared if name.startswith("auto")]
    return {
        "means": {name: drawn.summary() for name, drawn in draws.items()},
        "tasks": {
            name: {task: float(mean_draws({task: seeds}).values[0]) for task, seeds in answers.items()}
            for name, answers in compared.items()
        },
        "differences": {
            auto: {
                name: difference(draws[auto], drawn).summary()
                for name, drawn in draws.items()
                if name != auto
            }
            for auto in autos
        },
        "picks": picks,
    }


def table(found: dict[str, Any], words: str, command: str) -> str:
    """The summary as Markdown: a line an arm, with what `auto` has over it."""
    autos = list(found["differences"])
    tasks = list(next(iter(found["tasks"].values())))
    head = [
        "wording",
        *(task.removeprefix("world_") for task in tasks),
        "mean",
        *(f"{auto} minus it" for auto in autos),
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, mean in found["means"].items():
        cells = [name, *(f"{100 * found['tasks'][name][task]:.1f}" for task in tasks), _interval(mean, "")]
        cells += [_interval(found["differences"][auto].get(name), "+") for auto in autos]
        lines.append(f"| {' | '.join(cells)} |")
    return f"{words}\n\n    {command}\n\n" + "\n".join(lines) + "\n"


def _interval(value: dict[str, float] | None, sign: str) -> str:
    if value is None:
        return ""
    mean, low, high = (f"{100 * value[key]:{sign}.1f}" for key in ("value", "low", "high"))
    return f"{mean} ({low} to {high})"


def write(text: str, page: Path) -> None:
    """Put `text` between the marks of `page`."""
    whole = page.read_text(encoding="utf-8")
    if whole.count(BEGIN) != 1 or whole.count(END) != 1:
        sys.exit(f"{page} has no place for the table: it needs the lines {BEGIN} and {END}")
    before, rest = whole.split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """The command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--tasks", help="default: the recipe's")
    parser.add_argument("--seeds", type=int, default=5, help="how many, from the recipe's seed on")
    parser.add_argument("--split", choices=["validation", "test"], default="validation")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--auto", default="untuned,tuned")
    parser.add_argument("--set", action="append", dest="sets", metavar="KEY=VALUE")
    parser.add_argument("--write", type=Path, metavar="PAGE.md")
    asked = parser.parse_args(arguments)
    flags = {"tasks": names(asked.tasks) or None, "evaluate.limit": asked.limit}
    recipe = load_recipe(asked.recipe, assignments(asked.sets, flags))
    seeds = [recipe.seed + number for number in range(asked.seeds)]
    right, picks = measure(recipe, seeds, asked.split, names(asked.auto), asked.out)
    found = summary(right, picks)
    checkpoint.write_json(asked.out / f"prompt_auto-{asked.split}.json", found)
    count = len(next(iter(next(iter(right.values())).values()))[0])
    words = (
        f"Pruned, tuned in each wording on {recipe.tune.shots} shots, and asked {count} questions of each "
        f"task's {asked.split} split; means over {len(seeds)} seeds, %, with 95% intervals."
    )
    given = arguments if arguments is not None else sys.argv[1:]
    text = table(found, words, " ".join(["python benchmarks/prompt_auto.py", *given]))
    print(text)
    if asked.write:
        write(text, asked.write)
    return found


if __name__ == "__main__":
    main()
