"""Biases, norms and the head alone are trained (BitFit, Ben Zaken et al. 2022, https://arxiv.org/abs/2106.10199)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hftransfer.models.layers import head_names
from hftransfer.strategies import Strategy, TrainingFields

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class Bitfit(Strategy):
    """Train the one-dimensional parameters and the head; the weight matrices of the checkpoint are frozen."""

    training: ClassVar[TrainingFields] = {"learning_rate": 2.0e-3, "num_train_epochs": 10}

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        head_prefixes = tuple(f"{name}." for name in head_names(model))
        for name, parameter in model.named_parameters():
            # Biases have one dimension, and so have the scales of norms.
            parameter.requires_grad_(parameter.ndim == 1 or name.startswith(head_prefixes))
        return model
