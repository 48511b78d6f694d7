"""The whole story: check, encode, score the baselines, adapt, export, score what ships, document."""

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core import machine
from hftransfer.core.errors import DataError
from hftransfer.core.results import RunResult
from hftransfer.core.run_folder import RunFolder, dump_yaml, nest_outputs
from hftransfer.data.augmentation import augmenter
from hftransfer.data.corruptions import corrupted
from hftransfer.data.encode import encode
from hftransfer.recipe.loader import from_record
from hftransfer.recipe.schema import Export, Recipe
from hftransfer.runner import collect, compression, stages, task_heads
from hftransfer.runner.export import export_variants
from hftransfer.runner.plan import baseline_specs, check, with_defaults


def run(recipe: Recipe, out: Path, *, resume: bool = False, overwrite: bool = False) -> RunResult:
    """Carry a recipe the whole way; the finished run lies in `out`.

    Raises:
        HFTransferError: in a sentence, a mistake in the recipe, the rows, the checkpoint or the place.
    """
    run_folder = RunFolder(out, _processes(recipe.training))
    if done := run_folder.refuse(with_defaults(recipe), resume=resume, overwrite=overwrite):
        return RunResult.load(done)
    plan = check(recipe)
    with run_folder.open(dump_yaml(with_defaults(recipe)), overwrite=overwrite):
        with run_folder.timed("encode"):
            more = corrupted(plan.task, plan.rows.splits["test"], plan.recipe.evaluation.corruptions, plan.recipe.seed)
            changed = augmenter(plan.task, plan.recipe.data.augment)
            encoded = encode(plan.task, plan.rows.labelled | more, run_folder.work_folder / "encoded", changed)
        context = stages.RunContext(plan, encoded, run_folder, outputs={})
        if "majority" in plan.recipe.evaluation.baselines:
            stages.score_majority(context)
        histories = {spec.variant: stages.train_baseline(context, spec) for spec in baseline_specs(plan.recipe)}
        if plan.origin.weights is not None:
            stages.score_pretrained(context)
        further = plan.recipe.strategy.auxiliary_plans()
        histories["tuned"] = stages.tune(context, lambda models: task_heads.save_heads(context, models, further))
        steps = compression.score_steps(context)
        shipped = export_variants(context)
        others = task_heads.write_heads(context, further, histories["tuned"])
        result = collect.collect(context, with_defaults(plan.recipe), histories, shipped)
        kept = {
            "compression_steps": steps,
            "feature_similarity": stages.compare_features(context),
            "source_task_scores": stages.score_source_task(context),
        }
        result = result.model_copy(update={"task_heads": task_heads.told(others), **kept})
        collect.write_results(result, context)
    return result


def export(folder: Path, settings: Export) -> RunResult:
    """Export a finished run anew; its earlier exports are replaced when all is done.

    Raises:
        HFTransferError: as `run`.
    """
    before = RunResult.load(folder / "result.json")
    plan = check(from_record(before.recipe | {"export": settings}))
    if plan.rows.facts.fingerprint != before.data.fingerprint:
        raise DataError(f"the rows are no longer those that '{folder}' was scored on, which its exports are held to")
    run_folder = RunFolder(folder, _processes({}))
    with run_folder.open(dump_yaml(before.recipe), overwrite=True):
        # What `bench` found was of the earlier exports.
        replaced = {"recipe.yaml", "result.json", "bench.json", "bench.png", *before.exports}
        # Links cost no space, and every file is replaced by renaming, never written in place.
        if run_folder.state.is_main_process:
            shutil.copytree(
                folder,
                run_folder.folder,
                dirs_exist_ok=True,
                copy_function=os.link,
                ignore=lambda place, _names: replaced if Path(place) == folder else set(),
            )
        run_folder.state.wait_for_everyone()
        encoded = encode(plan.task, plan.rows.labelled, run_folder.work_folder / "encoded")
        context = stages.RunContext(plan, encoded, run_folder, outputs={})
        for file in sorted((folder / "predictions").glob("*.npz")):
            with np.load(file, allow_pickle=False) as arrays:
                made = nest_outputs(arrays)
            context.outputs[file.stem] = {name: outputs for name, outputs in made.items() if name not in before.exports}
        shipped = export_variants(context)
        changed = {
            "recipe": before.recipe | {"export": settings.model_dump()},
            "pytorch": shipped.pytorch,
            "exports": shipped.exports,
            "search": shipped.tried,
            "runtime_snippet": plan.task.plain(),
            "hardware": _on(before.hardware),
            "versions": machine.versions() | before.versions,
            **collect.score_variants(plan, context.outputs),
        }
        result = before.model_copy(update=changed)
        collect.write_results(result, context)
    return result


def _processes(training: dict[str, Any]) -> Any:
    """The processes of this run. They wait for the main one while it encodes or exports, which may take hours."""
    from accelerate import PartialState

    waits = timedelta(seconds=training.get("ddp_timeout", 6 * 3600))
    return PartialState(cpu=bool(training.get("use_cpu", False)), timeout=waits)


def _on(trained: str) -> str:
    """The hardware of a run that is exported here."""
    trained, here = trained.partition("; exported on ")[0], machine.hardware()
    return trained if trained == here else f"{trained}; exported on {here}"
