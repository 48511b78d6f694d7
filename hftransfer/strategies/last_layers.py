"""The head and the last blocks: what lies deeper is general and stays (Yosinski et al. 2014, arXiv:1411.1792)."""

from typing import Any, ClassVar

from pydantic import Field

from hftransfer.models.layers import depths, freeze_norm_statistics, unfreeze_norm_statistics
from hftransfer.strategies import Strategy


class LastLayers(Strategy):
    """Train the head and the last `layers` blocks; everything before them is frozen."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 5.0e-4, "num_train_epochs": 10}

    layers: int = Field(default=2, ge=1)
    """Blocks that train, counted from the head; all of them, if the model has no more."""

    def prepare(self, model: Any) -> Any:
        depth = depths(model)
        first = max(depth.values()) - self.layers
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(depth[name] >= first)
        freeze_norm_statistics(model)
        return model

    def merge(self, model: Any) -> Any:
        unfreeze_norm_statistics(model)
        return model
