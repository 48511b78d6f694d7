"""A linear probe, then fine-tuning: a trained head spoils the features of the checkpoint less than a random one.

LP-FT, Kumar et al. 2022, https://arxiv.org/abs/2202.10054.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hftransfer.strategies import Strategy, TrainingFields
from hftransfer.strategies.full import BatchNorm, Full
from hftransfer.strategies.linear_probe import LinearProbe
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LpFt(Strategy):
    """Train twice; the recipe's `training` is for the second training."""

    training: ClassVar[TrainingFields] = {"learning_rate": 2.0e-4, "num_train_epochs": 10}

    probe_learning_rate: float = Field(default=LinearProbe.training["learning_rate"], gt=0, le=1000)
    """Learning rate of the probe, where rows have neither classes nor a number, so that the Trainer trains it."""
    probe_epochs: float = Field(default=LinearProbe.training["num_train_epochs"], gt=0, le=1e6)
    """Epochs of the probe, likewise."""
    batch_norm: BatchNorm = "frozen"
    """What convolutional nets normalize by: `frozen`, as the probe has seen them; `train`, the batch."""

    def check(self, task: Task, model: PreTrainedModel) -> None:
        LinearProbe().check(task, model)

    def steps(self) -> list[tuple[Strategy, TrainingFields]]:
        probe = {"learning_rate": self.probe_learning_rate, "num_train_epochs": self.probe_epochs, "max_steps": -1}
        return [(LinearProbe(), probe), (Full(batch_norm=self.batch_norm), {})]
