"""Commands for single stages: import, plan, prune, heal, tune, evaluate, measure, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tailored_llama.cli import options as opt
from tailored_llama.cli.show import show, show_facts, show_measured
from tailored_llama.plugins import FORMATS, bundled


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.gguf", help="A local GGUF file.")],
    out: opt.Out,
    dtype: Annotated[
        str, typer.Option("--dtype", help="Precision of the checkpoint: bf16, f16 or f32.")
    ] = "bf16",
    as_json: opt.Json = False,
) -> None:
    """Convert a GGUF file to a checkpoint directory; weights are dequantised."""
    from tailored_llama.checkpoint.gguf_file import origin_of
    from tailored_llama.stages.import_gguf import import_gguf

    checkpoint = import_gguf(file, out=out, dtype=dtype)
    origin = origin_of(checkpoint)
    facts = {key: origin[key] for key in ("name", "license", "quantization")}
    show_facts({"checkpoint": str(out), **facts, "dtype": dtype}, as_json)


def plan(
    model: opt.Model,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.json", help="The plan to write.")],
    recipe: opt.BaseRecipe = None,
    sets: opt.Set = None,
    ratio: opt.Ratio = None,
    criterion: opt.CriterionName = None,
    layers: opt.Layers = None,
    seed: opt.Seed = None,
    device: opt.Device = None,
    allow_config: opt.AllowConfig = None,
    as_json: opt.Json = False,
) -> None:
    """Score and plan, without cutting.

    With a prune.trajectory, its plans are written next to FILE.json: FILE-0.20.json and so on.
    """
    flags = {**opt.prune_flags(ratio, criterion, layers), **opt.shared_flags(seed, device, allow_config)}
    recipe_ = opt.recipe_of(recipe, sets, flags, model)
    from tailored_llama.stages.prune import Plan, make_plans, save_trajectory

    Plan.check_place(out)
    plans = make_plans(
        model, settings=recipe_.prune, seed=recipe_.seed, tasks=recipe_.tasks, data=recipe_.data,
        device=recipe_.device, allow_config=recipe_.allow_config,
    )  # fmt: skip
    final = plans[recipe_.prune.ratio]
    final.save(out)
    save_trajectory({r: plans[r] for r in recipe_.prune.trajectory}, out.parent, out.stem)
    show_facts({"plan": str(out), **{f"params_{k}": v for k, v in final.params.items()}}, as_json)


def prune(
    model: opt.Model,
    out: opt.Out,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE.json", help="The plan to apply.")
    ] = None,
    recipe: opt.BaseRecipe = None,
    data: opt.Data = None,
    sets: opt.Set = None,
    ratio: opt.Ratio = None,
    criterion: opt.CriterionName = None,
    layers: opt.Layers = None,
    seed: opt.Seed = None,
    device: opt.Device = None,
    allow_config: opt.AllowConfig = None,
    as_json: opt.Json = False,
) -> None:
    """Plan and cut a model."""
    flags = {**opt.prune_flags(ratio, criterion, layers), **opt.shared_flags(seed, device, allow_config)}
    recipe_ = opt.recipe_of(recipe, sets, flags, model, data)
    from tailored_llama.stages.prune import Plan
    from tailored_llama.stages.prune import prune as prune_stage

    out_dir = prune_stage(
        model, settings=recipe_.prune, seed=recipe_.seed, tasks=recipe_.tasks, data=recipe_.data, out=out,
        plan=plan, device=recipe_.device, allow_config=recipe_.allow_config,
    )  # fmt: skip
    sizes = Plan.load(out_dir / "plan.json").params
    show_facts({"checkpoint": str(out), **{f"params_{k}": v for k, v in sizes.items()}}, as_json)


def heal(
    model: opt.Model,
    tasks: Annotated[
        str, typer.Option("--tasks", metavar="A,B", help="Tasks whose prompts the texts begin with.")
    ],
    teacher: Annotated[str, typer.Option("--teacher", metavar="MODEL", help="The unpruned model.")],
    out: opt.Out,
    recipe: opt.BaseRecipe = None,
    data: opt.Data = None,
    sets: opt.Set = None,
    shots: opt.Shots = None,
    round: Annotated[
        int, typer.Option("--round", min=1, max=1000, help="Number of the round; each has its own text.")
    ] = 1,
    seed: opt.Seed = None,
    device: opt.Device = None,
    allow_config: opt.AllowConfig = None,
    as_json: opt.Json = False,
) -> None:
    """Distil a pruned model from the unpruned one, on text that the unpruned one generates."""
    flags = {"tune.shots": shots, **opt.shared_flags(seed, device, allow_config)}
    recipe_ = opt.recipe_of(recipe, sets, flags, model, data)
    from tailored_llama.checkpoint import read_record
    from tailored_llama.results import HealingTexts
    from tailored_llama.stages.heal import heal as heal_stage

    out_dir = heal_stage(
        model, teacher=teacher, tasks=opt.names(tasks), settings=recipe_.heal, shots=recipe_.tune,
        seed=recipe_.seed, number=round, data=recipe_.data, out=out,
        device=recipe_.device, allow_config=recipe_.allow_config,
    )  # fmt: skip
    made = read_record(HealingTexts, out_dir / HealingTexts.file)
    show_facts({"checkpoint": str(out), "texts": made.texts, "tokens": made.tokens}, as_json)


def tune(
    model: opt.Model,
    task: Annotated[str, typer.Option("--task", help="A task's name or YAML path.")],
    out: opt.Out,
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", metavar="MODEL", help="The unpruned model, for tune.loss=distill."),
    ] = None,
    recipe: opt.BaseRecipe = None,
    data: opt.Data = None,
    sets: opt.Set = None,
    shots: opt.Shots = None,
    prompt: opt.PromptName = None,
    seed: opt.Seed = None,
    device: opt.Device = None,
    allow_config: opt.AllowConfig = None,
    as_json: opt.Json = False,
) -> None:
    """Tune with few-shot LoRA on a task's prompts; writes adapter/ and the merged model."""
    flags = {"tune.shots": shots, "tune.prompt": prompt, **opt.shared_flags(seed, device, allow_config)}
    recipe_ = opt.recipe_of(recipe, sets, flags, model, data)
    from tailored_llama.stages.tune import chosen_prompt
    from tailored_llama.stages.tune import tune as tune_stage

    out_dir = tune_stage(
        model,
        task=task,
        settings=recipe_.tune,
        seed=recipe_.seed,
        data=recipe_.data,
        out=out,
        teacher=teacher,
        device=recipe_.device,
        allow_config=recipe_.allow_config,
    )
    show_facts({"checkpoint": str(out), "prompt": chosen_prompt(out_dir)}, as_json)


def evaluate(
    model: opt.Model,
    tasks: opt.Tasks = None,
    perplexity: Annotated[
        str | None,
        typer.Option("--perplexity", metavar="A,B", help="wikitext2, ptb, world or .txt files; NAME@2048."),
    ] = None,
    length: Annotated[
        int | None, typer.Option("--length", help="Tokens of a perplexity window (128).")
    ] = None,
    adapter: opt.Adapter = None,
    base_unchecked: opt.BaseUnchecked = False,
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="MODEL", help="The unpruned model, for evaluate.kl.")
    ] = None,
    out: opt.OptionalOut = None,
    recipe: opt.BaseRecipe = None,
    data: opt.Data = None,
    sets: opt.Set = None,
    prompt: opt.PromptName = None,
    batch_calibration: opt.BatchCalibration = False,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    device: opt.Device = None,
    allow_config: opt.AllowConfig = None,
    verify: opt.Verify = False,
    as_json: opt.Json = False,
) -> None:
    """Measure accuracy and perplexity. Without --prompt, each task uses its stock wording: lm_eval's, else
    its first.
    """
    flags = {
        "evaluate.tasks": opt.names(tasks) or None, "evaluate.perplexity": opt.names(perplexity) or None,
        "evaluate.length": length, "evaluate.prompt": prompt, "evaluate.limit": limit,
        "evaluate.kl": True if reference else None, "evaluate.batch_calibration": batch_calibration or None,
        **opt.shared_flags(seed, device, allow_config),
    }  # fmt: skip
    recipe_ = opt.recipe_of(recipe, sets, flags, model, data)
    settings = recipe_.evaluate
    from tailored_llama.checkpoint import in_full
    from tailored_llama.results import results_of
    from tailored_llama.stage import versions
    from tailored_llama.stages.evaluate import evaluate as evaluate_stage

    with in_full(verify):
        row = evaluate_stage(
            model, tasks=settings.tasks or recipe_.tasks, settings=settings, data=recipe_.data,
            seed=recipe_.seed, out=out, adapter=adapter, base_unchecked=base_unchecked, reference=reference,
            device=recipe_.device, allow_config=recipe_.allow_config,
        )  # fmt: skip
    show(results_of([row], recipe_.model_dump(mode="json"), versions(), relative=False), as_json)


def measure(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Directories, hub ids, or `world`; dense first.")
    ],
    config_only: Annotated[bool, typer.Option("--config-only", help="Sizes from config.json only.")] = False,
    length: opt.PromptLength = 64,
    new: opt.NewTokens = 32,
    batch: Annotated[str, typer.Option("--batch", metavar="1,4", help="Batch sizes.")] = "1",
    backend: Annotated[
        str, typer.Option("--backend", metavar="A,B", help="transformers, llama.cpp, or both.")
    ] = "transformers",
    dtype: Annotated[
        str, typer.Option("--dtype", help="Precision for llama.cpp: f32, f16, bf16 or q8_0.")
    ] = "f16",
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, max=10**6, help="Number of repeats; medians are reported.")
    ] = 5,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=4096, help="OMP_NUM_THREADS, else all cores.")
    ] = None,
    device: opt.Device = None,
    out: opt.OptionalOut = None,
    allow_config: opt.AllowConfig = None,
    as_json: opt.Json = False,
) -> None:
    """Measure parameters, MACs, bytes, memory and speed of one or several models."""
    from tailored_llama.profiling import measure as measure_models

    measured = measure_models(
        models, config_only=config_only, length=length, new=new, batches=opt.numbers("--batch", batch),
        backends=opt.names(backend), dtype=dtype, repeats=repeats, threads=threads,
        device=device or "auto", out=out, allow_config=tuple(allow_config or ()),
    )  # fmt: skip
    show_measured(measured, as_json)


def export(
    model: opt.Model,
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="The artefact to write.")],
    dtype: Annotated[str, typer.Option("--dtype", help="Precision of gguf: f32, f16, bf16 or q8_0.")] = "f16",
    to: Annotated[
        str, typer.Option("--to", help=f"{', '.join(bundled(FORMATS))}, or a plugin; see `tailor formats`.")
    ] = "hf",
    adapter: opt.Adapter = None,
    base_unchecked: opt.BaseUnchecked = False,
    results: Annotated[
        Path | None, typer.Option("--results", metavar="FILE", help="A results.json for the model card.")
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            "--push-to-hub", metavar="NAME", help="Upload the result; new repositories are private."
        ),
    ] = None,
    allow_config: opt.AllowConfig = None,
    verify: opt.Verify = False,
) -> None:
    """Write a release artefact with a model card; nothing is uploaded without --push-to-hub."""
    from tailored_llama.checkpoint import in_full
    from tailored_llama.stages.export import export as export_stage

    with in_full(verify):
        artefact = export_stage(
            model, to=to, adapter=adapter, base_unchecked=base_unchecked, dtype=dtype, out=out,
            results=results, push_to_hub=push_to_hub, allow_config=tuple(allow_config or ()),
        )  # fmt: skip
    print(artefact)


VERBS = (import_, plan, prune, heal, tune, evaluate, measure, export)
