"""hftransfer check."""

import argparse
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments
from hftransfer.commands._output import show

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands
    from hftransfer.runner.plan import Plan


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("check", help="find the mistakes in a recipe and its data, in seconds")
    _arguments.recipe(command)
    return command


def run(args: argparse.Namespace) -> int:
    """Print what the run would do."""
    from hftransfer import api
    from hftransfer.core.garbage import without_garbage_collection

    with without_garbage_collection():
        plan = api.check(args.recipe, args.overrides)
        show(args, str(plan), _record(plan), plan.warnings)
    return 0


def _record(plan: "Plan") -> dict[str, object]:
    return {
        "task": plan.task.name,
        "strategy": plan.recipe.strategy.name,
        "rows": {split: len(rows) for split, rows in plan.rows.splits.items()},
        "sampled": plan.rows.sampled,
        "metrics": plan.metrics,
        "baselines": plan.baselines,
        "parameters": plan.parameters,
        "warnings": plan.warnings,
        "recipe": plan.recipe,
    }
