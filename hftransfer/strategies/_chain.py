"""A strategy and those of `compress`, as the steps of one training."""

from typing import Any

from hftransfer.core.errors import RecipeError
from hftransfer.strategies import Strategy
from hftransfer.tasks import Task


class CompressionSteps(Strategy):
    """The first trains, the others make its model smaller."""

    first: Any
    """The recipe's strategy."""
    then: list[Any]
    """The strategies of `compress`."""

    @property
    def name(self) -> str:
        return " then ".join(it.name for it in [self.first, *self.then])

    def check_installed(self) -> None:
        for strategy in [self.first, *self.then]:
            strategy.check_installed()

    def check(self, task: Task, model: Any) -> None:
        for strategy in [self.first, *self.then]:
            if strategy.auxiliary_plans():
                raise RecipeError(f"compress: strategy '{strategy.name}' trains several models; leave one of them out")
        for strategy in [self.first, *self.then]:
            strategy.check(task, model)

    def steps(self) -> list[tuple[Strategy, dict[str, Any]]]:
        """Each of the further ones with the epochs and the learning rate that suit it, whatever the first one's are."""
        return [*self.first.steps(), *((it, {"max_steps": -1} | it.training) for it in self.then)]
