"""`data.streaming`: what it needs, what it cannot be combined with, and the splits that are read before a training."""

from __future__ import annotations

from collections.abc import Sequence

from hftransfer.core import ranks
from hftransfer.core.errors import RecipeError
from hftransfer.data.stream import BUFFER
from hftransfer.recipe.schema import Data, Recipe
from hftransfer.runner.specs import TrainingSpec
from hftransfer.strategies import Strategy
from hftransfer.tasks import Task


def check_streaming(task: Task, recipe: Recipe, specs: Sequence[TrainingSpec]) -> None:
    """Refuse what needs all training rows.

    Raises:
        RecipeError: the recipe asks for it, or does not say how long to train.
    """
    data = recipe.data
    if not data.streaming:
        return
    given = {
        "data.shots": data.shots is not None,
        "data.max_rows": data.max_rows is not None,
        "data.unlabelled": data.unlabelled is not None,
        "data.items": data.items is not None,
        "data.drop": data.drop is not None,
        "data.sampling": data.sampling != "natural",
        "data.augment": data.augment != "none",
        "data.splits.by_group": data.splits.by_group,
        "evaluation.out_of_domain": bool(recipe.evaluation.left_out),
    }
    for key in (key for key, wanted in given.items() if wanted):
        raise RecipeError(f"data.streaming: {key} needs all training rows; leave out one of them")
    if ranks.total() > 1:
        raise RecipeError("data.streaming: it trains in one process")
    if type(task).pack is not Task.pack:
        raise RecipeError(f"data.streaming: the rows of '{task.name}' are packed, for which all have to be there")
    for spec in specs:
        _check_steps(spec)


def _check_steps(spec: TrainingSpec) -> None:
    for step, arguments in spec.strategy.steps():
        if (spec.training | arguments).get("max_steps", 0) <= 0:
            raise RecipeError("data.streaming: training.max_steps says how long to train, since no rows are counted")
        if type(step).fit is not Strategy.fit or type(step).training_rows is not Strategy.training_rows:
            raise RecipeError(f"data.streaming: strategy {step.name} reads all training rows before it trains")


def streamed_splits(data: Data) -> Data:
    """The section with the splits that are read before a training: bounded ones, and the first training rows.

    Raises:
        RecipeError: the size of a split is no number of rows, and the source has none of its name.
    """
    named, start = {}, 0
    present = data.source.count() or {}
    for name in ("validation", "test"):
        size = getattr(data.splits, name)
        if size is None and name in present:
            size = name
        if not isinstance(size, str | int):
            raise RecipeError(f"data.streaming: data.splits.{name} is a split of the source, or a number of rows")
        if isinstance(size, int):
            start, size = start + size, f"{data.splits.train}[{start}:{start + size}]"
        named[name] = size if size.endswith("]") else f"{size}[:]"
    named["train"] = f"{data.splits.train}[{start}:{start + BUFFER}]"
    return data.model_copy(update={"splits": data.splits.model_copy(update=named)})
