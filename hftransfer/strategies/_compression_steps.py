"""A recipe's strategy and those of its `compress`, as the steps of one training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hftransfer.core.errors import RecipeError
from hftransfer.strategies import Strategy, TrainingFields
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class CompressionSteps(Strategy):
    """The first strategy adapts the checkpoint, each of the others makes its model smaller."""

    first: Strategy
    """The recipe's strategy."""
    then: list[Strategy]
    """The strategies of `compress`."""

    @property
    def name(self) -> str:
        return " then ".join(strategy.name for strategy in [self.first, *self.then])

    def check_installed(self) -> None:
        for strategy in [self.first, *self.then]:
            strategy.check_installed()

    def check(self, task: Task, model: PreTrainedModel) -> None:
        for strategy in [self.first, *self.then]:
            if strategy.auxiliary_recipes():
                raise RecipeError(f"compress: strategy '{strategy.name}' trains several models; leave one of them out")
        for strategy in [self.first, *self.then]:
            strategy.check(task, model)

    def steps(self) -> list[tuple[Strategy, TrainingFields]]:
        """Steps after the first have the epochs and the learning rate that suit them, whatever the recipe's are."""
        return [*self.first.steps(), *((strategy, {"max_steps": -1} | strategy.training) for strategy in self.then)]
