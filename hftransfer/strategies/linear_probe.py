"""A linear probe: the head alone is trained, on the frozen features of the checkpoint.

Alain and Bengio 2016, https://arxiv.org/abs/1610.01644. The backbone reads each row once. Where a row has a class,
several or a number, the head is a logistic or ridge regression on the pooling that cross-validation prefers among those
that the model can hold; else it is trained on cached features by the Trainer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from hftransfer.core.errors import ModelError, RecipeError
from hftransfer.data.encode import EncodedSplits, cache_rows
from hftransfer.models.frozen_features import output_dimensions
from hftransfer.models.layers import (
    attribute,
    encoder,
    freeze_norm_statistics,
    head_names,
    logits_layer,
    row_encoder,
)
from hftransfer.models.probe import fit_linear, fold_kind
from hftransfer.strategies import Fitted, ScriptContext, Strategy, TrainingContext, TrainingFields
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
from hftransfer.strategies._pooling import hold_best_pooling
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class LinearProbe(Strategy):
    """Train the head alone."""

    training: ClassVar[TrainingFields] = {"learning_rate": 3.0e-2, "num_train_epochs": 100}

    solver: Literal["lbfgs", "trainer"] = "lbfgs"
    """`lbfgs` fits a regression, its penalty and pooling by cross-validation on the training rows, and uses no
    `training`. `trainer` takes gradient steps, as tasks without a class or a number a row always do."""
    cache_features: bool = True
    """Compute the features of each row once; `false` computes them in every epoch, dropout included."""

    def check(self, task: Task, model: PreTrainedModel) -> None:
        if task.pretraining:
            raise ModelError(f"strategy linear_probe: a '{task.name}' model has no head of its own; use 'full'")

    def uses_trainer(self, task: Task) -> bool:
        return self.solver == "trainer" or not self.cache_features or task.row_target is None or task.replaces_loss

    def script_values(self, context: ScriptContext) -> dict[str, Any]:
        task, model = context.task, context.model
        if self.uses_trainer(task) or context.head_input is None:
            raise RecipeError(
                "eject: its scripts fit a linear probe at once (strategy.solver: lbfgs), on features that the run has "
                "recorded; this run has trained it by the Trainer, or an earlier version of hftransfer"
            )
        return {
            "head_input": context.head_input,
            "encoder": attribute(model, row_encoder(model)),
            "logits_layer": attribute(model, logits_layer(model)),
            "dimensions": output_dimensions(task, model, context.rows),
            "folds": fold_kind(task.references(context.rows)),
        }

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

    def fit(self, model: PreTrainedModel, context: TrainingContext) -> Fitted | None:
        """Fit the layer that makes the logits to what it reads of the training rows."""
        import torch

        target = context.task.row_target
        if self.uses_trainer(context.task) or target is None:
            return None
        held = hold_best_pooling(model, target, context)
        if held is None:
            return None
        weight, bias = fit_linear(target, held.features, held.references, context.seed)
        layer = logits_layer(model)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(bias))
        return Fitted([], held.note, held.head_input)

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
        return super().merge(model)
