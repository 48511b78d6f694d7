"""Nothing is trained: the checkpoint stays as it is, and the task fits what it needs to its outputs.

For tasks that learn from features of training rows alone, such as anomaly-detection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.errors import RecipeError
from hftransfer.models.layers import freeze_norm_statistics
from hftransfer.strategies import Fitted, Strategy, TrainingContext
from hftransfer.tasks import ModelBatch, Task

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

# Rows that the model reads at once.
_BATCH = 16


class Frozen(Strategy):
    """Train nothing."""

    def check(self, task: Task, model: PreTrainedModel) -> None:
        if type(task).fit_frozen is Task.fit_frozen:
            raise RecipeError(
                f"strategy frozen trains nothing, and a '{task.name}' model has weights to be trained; linear_probe "
                "trains the fewest"
            )

    def uses_trainer(self, task: Task) -> bool:
        return False

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        """The model, none of whose weights is trained."""
        model.requires_grad_(False)
        freeze_norm_statistics(model)
        return model

    def fit(self, model: PreTrainedModel, context: TrainingContext) -> Fitted:
        """Let the task fit what it needs to training rows."""
        from accelerate.utils import send_to_device

        encoded, references = context.encoded, context.task.references(context.rows["train"])
        rows = encoded.splits["train"]

        def batches(numbers: np.ndarray) -> Iterator[ModelBatch]:
            for start in range(0, len(numbers), _BATCH):
                examples = rows.__getitems__(numbers[start : start + _BATCH].tolist())
                yield send_to_device(encoded.collate(examples), model.device)

        model.eval()
        return Fitted([], context.task.fit_frozen(model, batches, references, context.seed))
