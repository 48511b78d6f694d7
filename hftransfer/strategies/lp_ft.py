"""A linear probe first, then everything: the head is right before it can spoil the features.

Kumar et al. 2022, https://arxiv.org/abs/2202.10054.
"""

from typing import Any, ClassVar

from pydantic import Field

from hftransfer.strategies import Strategy
from hftransfer.strategies.full import Full
from hftransfer.strategies.linear_probe import LinearProbe
from hftransfer.tasks import Task


class LpFt(Strategy):
    """Two trainings; `training:` is that of the second."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 2.0e-4, "num_train_epochs": 10}

    probe_learning_rate: float = Field(default=LinearProbe.training["learning_rate"], gt=0)
    """Of the probe."""
    probe_epochs: float = Field(default=LinearProbe.training["num_train_epochs"], gt=0)
    """Of the probe."""

    def check(self, task: Task, model: Any) -> None:
        LinearProbe().check(task, model)

    def steps(self) -> list[tuple[Strategy, dict[str, Any]]]:
        probe = {"learning_rate": self.probe_learning_rate, "num_train_epochs": self.probe_epochs, "max_steps": -1}
        return [(LinearProbe(), probe), (Full(), {})]
