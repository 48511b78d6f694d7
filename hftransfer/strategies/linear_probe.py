"""A linear probe: the head alone is trained, on the frozen features of the checkpoint.

Alain and Bengio 2016, https://arxiv.org/abs/1610.01644. The backbone reads each row once, the features that the head
reads are cached, and the head is trained on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hftransfer.core.errors import ModelError
from hftransfer.data.encode import EncodedSplits, cache_rows
from hftransfer.models.layers import encoder, freeze_norm_statistics, head_names, unfreeze_norm_statistics
from hftransfer.strategies import Strategy, TrainingContext, TrainingFields
from hftransfer.strategies._features import (
    Columns,
    can_be_cached,
    collate,
    compute_features,
    fields_read,
    replace_backbone,
    restore_backbone,
    with_side,
)
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class LinearProbe(Strategy):
    """Train the head alone."""

    training: ClassVar[TrainingFields] = {"learning_rate": 3.0e-2, "num_train_epochs": 100}

    cache_features: bool = True
    """Compute the features of each row once; `false` computes them in every epoch, dropout included."""

    def check(self, task: Task, model: PreTrainedModel) -> None:
        if task.pretraining:
            raise ModelError(f"strategy linear_probe: a '{task.name}' model has no head of its own; use 'full'")

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        """The model with its encoder frozen.

        Raises:
            ModelError: the model has no head that could be trained alone.
        """
        if not head_names(model):
            raise ModelError(
                f"strategy linear_probe: a {type(model).__name__} has no head of its own; use 'lora' or 'full'"
            )
        encoder(model).requires_grad_(False)
        freeze_norm_statistics(model)
        return model

    def training_rows(self, model: nn.Module, context: TrainingContext) -> EncodedSplits:
        """Rows of cached features; a module that returns them takes the place of the model's backbone.

        Where features cannot be cached, the encoded rows.
        """
        encoded, task = context.encoded, context.task
        if not self.cache_features or model.base_model is model:
            return encoded
        rows = encoded.splits["train"]
        batch = encoded.collate([rows[row] for row in range(min(2, len(rows)))])
        read = fields_read(model, task, batch)
        if read is None or not can_be_cached(model, task, encoded, batch, read):
            return encoded
        context.folder.mkdir(parents=True, exist_ok=True)

        def features(columns: Columns) -> Columns:
            count = len(next(iter(columns.values())))
            examples = [{name: columns[name][row] for name in columns} for row in range(count)]
            return compute_features(model, task, encoded.collate(examples), read)

        splits = {}
        for name, rows in encoded.splits.items():
            cached = cache_rows(rows, features, context.folder / f"{name}.arrow", f"features of {name}")
            splits[name] = with_side(cached, rows, context.folder / f"{name}-side.arrow")
        replace_backbone(model, read)
        return EncodedSplits(splits, collate)

    def merge(self, model: nn.Module) -> PreTrainedModel:
        """The whole model, its backbone back in place."""
        restore_backbone(model)
        unfreeze_norm_statistics(model)
        return model
