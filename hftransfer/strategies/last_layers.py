"""The head and the last blocks are trained: the features before them are general.

Yosinski et al. 2014, https://arxiv.org/abs/1411.1792.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hftransfer.models.layers import depths, freeze_norm_statistics
from hftransfer.strategies import Strategy, TrainingFields

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class LastLayers(Strategy):
    """Train the head and the last `layers` blocks; all blocks before them are frozen."""

    training: ClassVar[TrainingFields] = {"learning_rate": 5.0e-4, "num_train_epochs": 10}

    layers: int = Field(default=2, ge=1, le=1000)
    """Blocks to train, counted from the head; all of them, if the model has no more."""

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        depth = depths(model)
        first = max(depth.values()) - self.layers
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(depth[name] >= first)
        freeze_norm_statistics(model)
        return model
