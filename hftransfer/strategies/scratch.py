"""No transfer: the checkpoint's architecture with random weights, the baseline that a transfer has to beat."""

from typing import Any, ClassVar

from hftransfer.models.weights import new_model
from hftransfer.strategies import Strategy


class Scratch(Strategy):
    """Train random weights."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 3.0e-4, "num_train_epochs": 20}

    def prepare(self, model: Any) -> Any:
        """A new model of the same class and config; the global seed of torch draws its weights."""
        return new_model(model)
