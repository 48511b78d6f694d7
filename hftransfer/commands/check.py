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
    command.add_argument(
        "--price-per-hour",
        type=float,
        metavar="DOLLARS",
        help="of this machine; with --estimate, which tells the costs too",
    )
    command.add_argument(
        "--largest-batch",
        action="store_true",
        help="also try how many rows a training step may have until memory is short",
    )
    return command


def run(args: argparse.Namespace) -> int:
    """Print what the run would do."""
    from hftransfer import api, api_choosing
    from hftransfer.core.errors import RecipeError
    from hftransfer.core.garbage import without_garbage_collection

    if args.price_per_hour is not None and not args.estimate:
        raise RecipeError("--price-per-hour is of the costs of --estimate; give that as well")
    with without_garbage_collection():
        plan = api.check(args.recipe, args.overrides)
    estimate = None
    if args.estimate:
        estimate = api_choosing.estimate(args.recipe, args.overrides, price_per_hour=args.price_per_hour)
    batch = api_choosing.largest_batch(args.recipe, args.overrides) if args.largest_batch else None
    more = {name: found for name, found in (("estimate", estimate), ("largest_batch", batch)) if found is not None}
    show(args, "\n".join(map(str, (plan, *more.values()))), _record(plan) | more, plan.warnings)
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
