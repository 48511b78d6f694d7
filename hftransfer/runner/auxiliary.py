"""Auxiliary tasks: the recipes of the tasks that a strategy trains on the same encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hftransfer.core.errors import HFTransferError, RecipeError
from hftransfer.recipe.loader import load_recipe
from hftransfer.recipe.schema import Recipe
from hftransfer.strategies import AuxiliaryTask, Strategy
from hftransfer.strategies.full import Full

if TYPE_CHECKING:
    from hftransfer.runner.plan import Plan


def resolve_auxiliary(strategy: Strategy, check: Callable[[Recipe], Plan]) -> dict[str, Plan]:
    """Name -> the plan of each auxiliary recipe of a strategy, as `check` makes it.

    Their task, data, checkpoint and metrics are used; strategy and training arguments are those of the main recipe.

    Raises:
        HFTransferError: what is wrong with a recipe, in a sentence that begins with its name and file.
    """
    plans = {}
    for name, path in strategy.auxiliary_recipes().items():
        try:
            plans[name] = check(_without_training(load_recipe(path)))
        except HFTransferError as error:
            raise type(error)(f"strategy.others.{name} ({path}): {error}") from None
    return plans


def _without_training(recipe: Recipe) -> Recipe:
    """The recipe without what has no effect on an auxiliary task: how it would be trained, exported and pushed.

    Raises:
        RecipeError: it changes its training rows, which an auxiliary task does not.
    """
    if recipe.data.augment != "none":
        raise RecipeError("data.augment has no effect on an auxiliary task; leave it out")
    changes = {
        "strategy": Full(),
        "compress": [],
        "export": None,
        "hub": None,
        "evaluation": recipe.evaluation.model_copy(update={"baselines": []}),
        # The device stays, since all trainings of a process have to use the same.
        "training": {name: value for name, value in recipe.training.items() if name == "use_cpu"},
    }
    return recipe.model_copy(update=changes)


def auxiliary_tasks(plans: Mapping[str, Plan]) -> dict[str, AuxiliaryTask]:
    """The tasks of resolved auxiliary recipes, as `Strategy.with_auxiliary` takes them."""
    return {name: AuxiliaryTask(plan.task, plan.origin, plan.rows.labelled) for name, plan in plans.items()}
