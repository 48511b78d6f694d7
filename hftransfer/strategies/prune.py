"""Pruning: a tuned model without some attention heads, feed-forward units, layers or weights, and a short recovery.

By the size of the weights: Han et al. 2015, https://arxiv.org/abs/1506.02626; attention heads: Michel et al. 2019,
https://arxiv.org/abs/1905.10650. `model.id` is the run to make smaller. Heads, units and layers that are removed make
the model smaller and faster; single weights become zeros, which only compress better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from hftransfer.models.layers import block_linears
from hftransfer.models.pruning import drop_attention_heads, drop_layers, narrow
from hftransfer.strategies import Strategy, TrainingFields

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Prune(Strategy):
    """Prune, then fine-tune what remains."""

    training: ClassVar[TrainingFields] = {"learning_rate": 1.0e-4, "num_train_epochs": 3}

    attention_heads: float = Field(default=0.0, ge=0, lt=1)
    """Share of the attention heads to remove from each layer."""
    width: float = Field(default=0.0, ge=0, lt=1)
    """Share of the feed-forward units to remove from each layer."""
    layers: int | None = Field(default=None, ge=1, le=1000)
    """Layers to keep, evenly spaced; left out, all."""
    weights: float = Field(default=0.0, ge=0, lt=1)
    """Share of the single weights of each Linear layer to set to zero."""

    @model_validator(mode="after")
    def _removes_something(self) -> Self:
        if not (self.attention_heads or self.width or self.layers or self.weights):
            raise ValueError(
                "give attention_heads, width or weights (the share to remove), or layers (the number to keep)"
            )
        return self

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        """The smaller model.

        Raises:
            ModelError: the model has none of the parts that should be removed.
        """
        if self.layers:
            drop_layers(model, self.layers)
        if self.width:
            narrow(model, self.width)
        if self.attention_heads:
            drop_attention_heads(model, self.attention_heads)
        return model

    def callbacks(self, model: nn.Module) -> list[TrainerCallback]:
        import torch
        from transformers import TrainerCallback

        if not self.weights:
            return []
        masks = {}
        for name in block_linears(model):
            size = model.get_submodule(name).weight.detach().abs()
            threshold = size.flatten().kthvalue(max(1, round(self.weights * size.numel()))).values
            masks[name] = size > threshold

        class SetZeros(TrainerCallback):
            """Sets the pruned weights to zero before the training and after each step of the optimizer."""

            def on_train_begin(
                self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
            ) -> None:
                self.on_optimizer_step(args, state, control)

            def on_optimizer_step(
                self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
            ) -> None:
                with torch.no_grad():
                    for name, mask in masks.items():
                        model.get_submodule(name).weight.mul_(mask)

        return [SetZeros()]
