"""Fine-tuning whose learning rate falls from the head to the embeddings.

ULMFiT, Howard and Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.1; a factor by block as in BEiT,
https://arxiv.org/abs/2106.08254.
"""

from typing import Any, ClassVar

from pydantic import Field

from hftransfer.models.layers import depths
from hftransfer.strategies import Strategy


class LayerDecay(Strategy):
    """Train everything, the deeper the slower."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 5.0e-4, "num_train_epochs": 10}

    decay: float = Field(default=0.75, gt=0, le=1)
    """A block learns at this share of the rate of the block above it; the head at the recipe's rate."""

    def learning_rate_factors(self, model: Any) -> dict[str, float]:
        depth = depths(model)
        last = max(depth.values())
        return {name: self.decay ** (last - own) for name, own in depth.items()}
