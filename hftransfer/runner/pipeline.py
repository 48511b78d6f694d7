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
from hftransfer.core.run_folder import Workspace, dump_yaml, unpacked
from hftransfer.data.augmentation import augmented
from hftransfer.data.corruptions import shifted
from hftransfer.data.encode import encode
from hftransfer.recipe.loader import recorded
from hftransfer.recipe.schema import Export, Recipe
from hftransfer.runner import collect, compression, stages, task_heads
from hftransfer.runner.export import ship
from hftransfer.runner.plan import baselines, check, resolved


def run(recipe: Recipe, out: Path, *, resume: bool = False, overwrite: bool = False) -> RunResult:
    """Carry a recipe the whole way; the finished run lies in `out`.

    Raises:
        HFTransferError: in a sentence, a mistake in the recipe, the rows, the checkpoint or the place.
    """
    workspace = Workspace(out, _processes(recipe.training))
    if done := workspace.refuse(resolved(recipe), resume=resume, overwrite=overwrite):
        return RunResult.load(done)
    plan = check(recipe)
    with workspace.open(dump_yaml(resolved(recipe)), overwrite=overwrite):
        with workspace.timed("encode"):
            more = shifted(plan.task, plan.rows.splits["test"], plan.recipe.evaluation.shifts, plan.recipe.seed)
            changed = augmented(plan.task, plan.recipe.data.augment)
            encoded = encode(plan.task, plan.rows.labelled | more, workspace.kept / "encoded", changed)
        job = stages.Job(plan, encoded, workspace, outputs={})
        if "majority" in plan.recipe.evaluation.baselines:
            stages.majority(job)
        histories = {fitting.variant: stages.baseline(job, fitting) for fitting in baselines(plan.recipe)}
        if plan.origin.weights is not None:
            stages.pretrained(job)
        further = plan.recipe.strategy.plans()
        histories["tuned"] = stages.tune(job, lambda models: task_heads.save(job, models, further))
        steps = compression.between(job)
        shipped = ship(job)
        others = task_heads.publish(job, further, histories["tuned"])
        result = collect.collect(job, resolved(plan.recipe), histories, shipped)
        kept = {"steps": steps, "drift": stages.drifted(job), "source": stages.remembered(job)}
        result = result.model_copy(update={"heads": task_heads.told(others), **kept})
        collect.publish(result, job)
    return result


def export(folder: Path, settings: Export) -> RunResult:
    """Export a finished run anew; its earlier exports are replaced when all is done.

    Raises:
        HFTransferError: as `run`.
    """
    before = RunResult.load(folder / "result.json")
    plan = check(recorded(before.recipe | {"export": settings}))
    if plan.rows.facts.fingerprint != before.data.fingerprint:
        raise DataError(f"the rows are no longer those that '{folder}' was scored on, which its exports are held to")
    workspace = Workspace(folder, _processes({}))
    with workspace.open(dump_yaml(before.recipe), overwrite=True):
        # What `bench` found was of the earlier exports.
        replaced = {"recipe.yaml", "result.json", "bench.json", "bench.png", *before.exports}
        # Links cost no space, and every file is replaced by renaming, never written in place.
        if workspace.state.is_main_process:
            shutil.copytree(
                folder,
                workspace.folder,
                dirs_exist_ok=True,
                copy_function=os.link,
                ignore=lambda place, _names: replaced if Path(place) == folder else set(),
            )
        workspace.state.wait_for_everyone()
        encoded = encode(plan.task, plan.rows.labelled, workspace.kept / "encoded")
        job = stages.Job(plan, encoded, workspace, outputs={})
        for file in sorted((folder / "predictions").glob("*.npz")):
            with np.load(file, allow_pickle=False) as arrays:
                made = unpacked(arrays)
            job.outputs[file.stem] = {name: outputs for name, outputs in made.items() if name not in before.exports}
        shipped = ship(job)
        changed = {
            "recipe": before.recipe | {"export": settings.model_dump()},
            "pytorch": shipped.pytorch,
            "exports": shipped.exports,
            "tried": shipped.tried,
            "plain": plan.task.plain(),
            "hardware": _on(before.hardware),
            "versions": machine.versions() | before.versions,
            **collect.scored(plan, job.outputs),
        }
        result = before.model_copy(update=changed)
        collect.publish(result, job)
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
