"""The auxiliary tasks of a run: each becomes a run of its own, with model, scores, card and report."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core import ranks
from hftransfer.core.results import RunResult, TaskHead
from hftransfer.core.run_folder import RunFolder
from hftransfer.core.yaml_writer import dump_yaml
from hftransfer.data.encode import encode
from hftransfer.models.weights import save_model
from hftransfer.runner import baselines, stages
from hftransfer.runner.collect import collect, write_results
from hftransfer.runner.context import RunContext
from hftransfer.runner.export import export_variants
from hftransfer.runner.plan import Plan
from hftransfer.runner.specs import with_defaults

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def save_heads(context: RunContext, models: dict[str, PreTrainedModel]) -> None:
    """Save the trained models of the auxiliary tasks in the work folder."""
    for name, model in models.items():
        plan = context.plan.auxiliary[name]
        plan.task.finalize(model)
        context.run_folder.directory(f"work/heads/{name}", partial(save_model, model, plan.origin.processor))


def write_heads(context: RunContext, history: stages.History) -> dict[str, TaskHead]:
    """Score each auxiliary task on its own test rows and write its run into `heads/NAME`."""
    results = {}
    for name, plan in context.plan.auxiliary.items():
        out = context.run_folder.folder / "heads" / name
        if not (out / "result.json").is_file():
            _write_run(context, name, plan, out, history)
        result = RunResult.load(out / "result.json")
        results[name] = TaskHead(task=result.task, headline=result.headline, scores=result.scores["test"]["tuned"])
    return results


def _write_run(context: RunContext, name: str, plan: Plan, out: Path, history: stages.History) -> None:
    # Task, data and checkpoint are those of its own recipe; how it was trained is the main recipe's.
    shared = {"strategy": context.plan.recipe.strategy, "training": context.plan.recipe.training}
    recipe = plan.recipe.model_copy(update=shared | {"export": None, "hub": None})
    plan = Plan(recipe, plan.rows, plan.origin, plan.metrics, plan.parameters, plan.warnings)
    run_folder = RunFolder(out, context.run_folder.state)
    with run_folder.open(dump_yaml(with_defaults(recipe)), overwrite=True):
        saved = context.run_folder.work_folder / "heads" / name
        run_folder.directory("model", lambda folder: shutil.copytree(saved, folder, dirs_exist_ok=True))
        with run_folder.timed("encode"):
            encoded = encode(plan.task, plan.rows.labelled, run_folder.work_folder / "encoded")
        head = RunContext(plan, encoded, run_folder)
        baselines.score_pretrained(head)
        stages.score_tuned(head)
        exported = export_variants(head)
        ranks.from_main(lambda: write_results(collect(head, with_defaults(recipe), {"tuned": history}, exported), head))
