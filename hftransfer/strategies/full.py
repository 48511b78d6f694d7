"""Fine-tuning: every weight of the checkpoint is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from hftransfer.core.errors import RecipeError
from hftransfer.models.layers import freeze_norm_statistics
from hftransfer.strategies import ScriptContext, Strategy, TrainingFields

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

BatchNorm = Literal["train", "frozen"]
"""How BatchNorms normalize in a training: by the batch, or by the means and variances of the checkpoint.

A few labelled images tell these badly, and a head that was fitted to the checkpoint's features expects them
(https://keras.io/guides/transfer_learning/). The scale and the shift are trained in either case.
"""


class Full(Strategy):
    """Train all weights."""

    training: ClassVar[TrainingFields] = {"learning_rate": 2.0e-4, "num_train_epochs": 10}

    batch_norm: BatchNorm = "train"
    """What convolutional nets normalize by: `train`, the batch; `frozen`, the checkpoint's means and variances."""

    def script_values(self, context: ScriptContext) -> dict[str, Any]:
        if self.batch_norm == "frozen":
            raise RecipeError("eject: its scripts have no strategy.batch_norm: frozen")
        return {}

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        if self.batch_norm == "frozen":
            freeze_norm_statistics(model, every=True)
        return model
