"""Fine-tuning with a learning rate that falls from the head to the embeddings (discriminative fine-tuning).

ULMFiT, Howard and Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.1; one factor a block as in BEiT,
https://arxiv.org/abs/2106.08254.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hftransfer.models.layers import depths
from hftransfer.strategies import Strategy, TrainingFields

if TYPE_CHECKING:
    from torch import nn


class LayerDecay(Strategy):
    """Train all weights, deeper ones with a smaller learning rate."""

    training: ClassVar[TrainingFields] = {"learning_rate": 5.0e-4, "num_train_epochs": 10}

    decay: float = Field(default=0.75, gt=0, le=1)
    """Learning rate of a block as a share of that of the block above it; the head has the recipe's learning rate."""

    def learning_rate_factors(self, model: nn.Module) -> dict[str, float]:
        depth_by_name = depths(model)
        last = max(depth_by_name.values())
        return {name: self.decay ** (last - depth) for name, depth in depth_by_name.items()}
