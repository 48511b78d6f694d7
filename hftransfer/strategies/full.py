"""Fine-tuning: every weight of the checkpoint is trained."""

from typing import ClassVar

from hftransfer.strategies import Strategy, TrainingFields


class Full(Strategy):
    """Train all weights."""

    training: ClassVar[TrainingFields] = {"learning_rate": 2.0e-4, "num_train_epochs": 10}
