"""The biases, the norms and the head alone (BitFit, Ben Zaken et al. 2022, https://arxiv.org/abs/2106.10199)."""

from typing import Any, ClassVar

from hftransfer.models.layers import head_names
from hftransfer.strategies import Strategy


class Bitfit(Strategy):
    """Train the vectors; the matrices of the checkpoint stay."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 2.0e-3, "num_train_epochs": 10}

    def prepare(self, model: Any) -> Any:
        heads = tuple(f"{name}." for name in head_names(model))
        for name, parameter in model.named_parameters():
            # Biases have one dimension, and so have the scales of norms.
            parameter.requires_grad_(parameter.ndim == 1 or name.startswith(heads))
        return model
