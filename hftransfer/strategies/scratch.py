"""No transfer: the checkpoint's architecture with random weights, the baseline that a transfer has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hftransfer.models.weights import new_model
from hftransfer.strategies import Strategy, TrainingFields

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class Scratch(Strategy):
    """Train random weights."""

    training: ClassVar[TrainingFields] = {"learning_rate": 3.0e-4, "num_train_epochs": 20}

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        """A new model of the same class and config, initialized by torch's global seed."""
        return new_model(model)
