"""The further heads of a run of several tasks: each becomes a run of its own, with model, scores, card and report."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from hftransfer.core.results import Head, RunResult
from hftransfer.core.run_folder import Workspace, dump_yaml
from hftransfer.data.encode import encode
from hftransfer.models import weights
from hftransfer.runner import collect, export, stages
from hftransfer.runner.plan import Plan, resolved


def save(job: stages.Job, models: dict[str, Any], plans: dict[str, Plan]) -> None:
    """Keep the trained models of the further heads."""
    for name, model in models.items():
        plans[name].task.finish(model)
        job.workspace.directory(f"work/heads/{name}", partial(weights.save, model, plans[name].origin.processor))


def publish(job: stages.Job, plans: dict[str, Plan], history: stages.History) -> dict[str, RunResult]:
    """Score each head on its own test rows and write its run into `heads/NAME`."""
    found = {}
    for name, plan in plans.items():
        out = job.workspace.folder / "heads" / name
        if not (out / "result.json").is_file():
            _publish(job, name, plan, out, history)
        found[name] = RunResult.load(out / "result.json")
    return found


def _publish(job: stages.Job, name: str, plan: Plan, out: Path, history: stages.History) -> None:
    # Of the further recipe are task, data and checkpoint; how it was trained is the first one's.
    recipe = plan.recipe.model_copy(
        update={"strategy": job.plan.recipe.strategy, "training": job.plan.recipe.training, "export": None, "hub": None}
    )
    plan = Plan(recipe, plan.rows, plan.origin, plan.metrics, plan.parameters, plan.warnings)
    workspace = Workspace(out, job.workspace.state)
    with workspace.open(dump_yaml(resolved(recipe)), overwrite=True):
        kept = job.workspace.kept / "heads" / name
        workspace.directory("model", lambda folder: shutil.copytree(kept, folder, dirs_exist_ok=True))
        with workspace.timed("encode"):
            encoded = encode(plan.task, plan.rows.labelled, workspace.kept / "encoded")
        own = stages.Job(plan, encoded, workspace, outputs={})
        stages.pretrained(own)
        stages.score_tuned(own)
        collect.publish(collect.collect(own, resolved(recipe), {"tuned": history}, export.ship(own)), own)


def told(results: dict[str, RunResult]) -> dict[str, Head]:
    """What the record of the whole run says of its further heads."""
    return {
        name: Head(task=it.task, headline=it.headline, scores=it.scores["test"]["tuned"])
        for name, it in results.items()
    }
