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
    command.add_argument(
        "--estimate",
        action="store_true",
        help="also run the recipe on small parts of its rows, and say what a run will take: time, memory, energy",
    )
    return command


def run(args: argparse.Namespace) -> int:
    """Print what the run would do."""
    from hftransfer import api, api_choosing
    from hftransfer.core.garbage import without_garbage_collection

    with without_garbage_collection():
        plan = api.check(args.recipe, args.overrides)
    estimate = api_choosing.estimate(args.recipe, args.overrides) if args.estimate else None
    text = "\n".join(str(it) for it in (plan, estimate) if it is not None)
    show(args, text, _record(plan) | ({"estimate": estimate} if estimate else {}), plan.warnings)
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
