"""The further heads of a run of several tasks: each becomes a run of its own, with model, scores, card and report."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from hftransfer.core.results import RunResult, TaskHead
from hftransfer.core.run_folder import RunFolder, dump_yaml
from hftransfer.data.encode import encode
from hftransfer.models import weights
from hftransfer.runner import collect, export, stages
from hftransfer.runner.plan import Plan, with_defaults


def save_heads(context: stages.RunContext, models: dict[str, Any], plans: dict[str, Plan]) -> None:
    """Keep the trained models of the further heads."""
    for name, model in models.items():
        plans[name].task.finish(model)
        context.run_folder.directory(
            f"work/heads/{name}", partial(weights.save_model, model, plans[name].origin.processor)
        )


def write_heads(context: stages.RunContext, plans: dict[str, Plan], history: stages.History) -> dict[str, RunResult]:
    """Score each head on its own test rows and write its run into `heads/NAME`."""
    found = {}
    for name, plan in plans.items():
        out = context.run_folder.folder / "heads" / name
        if not (out / "result.json").is_file():
            _publish(context, name, plan, out, history)
        found[name] = RunResult.load(out / "result.json")
    return found


def _publish(context: stages.RunContext, name: str, plan: Plan, out: Path, history: stages.History) -> None:
    # Of the further recipe are task, data and checkpoint; how it was trained is the first one's.
    recipe = plan.recipe.model_copy(
        update={
            "strategy": context.plan.recipe.strategy,
            "training": context.plan.recipe.training,
            "export": None,
            "hub": None,
        }
    )
    plan = Plan(recipe, plan.rows, plan.origin, plan.metrics, plan.parameters, plan.warnings)
    run_folder = RunFolder(out, context.run_folder.state)
    with run_folder.open(dump_yaml(with_defaults(recipe)), overwrite=True):
        kept = context.run_folder.work_folder / "heads" / name
        run_folder.directory("model", lambda folder: shutil.copytree(kept, folder, dirs_exist_ok=True))
        with run_folder.timed("encode"):
            encoded = encode(plan.task, plan.rows.labelled, run_folder.work_folder / "encoded")
        own = stages.RunContext(plan, encoded, run_folder, outputs={})
        stages.score_pretrained(own)
        stages.score_tuned(own)
        collect.write_results(
            collect.collect(own, with_defaults(recipe), {"tuned": history}, export.export_variants(own)), own
        )


def told(results: dict[str, RunResult]) -> dict[str, TaskHead]:
    """What the record of the whole run says of its further heads."""
    return {
        name: TaskHead(task=it.task, headline=it.headline, scores=it.scores["test"]["tuned"])
        for name, it in results.items()
    }
