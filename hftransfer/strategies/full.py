"""Fine-tuning: every weight of the checkpoint is trained."""

from typing import Any, ClassVar

from hftransfer.strategies import Strategy


class Full(Strategy):
    """Train everything."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 2.0e-4, "num_train_epochs": 10}
