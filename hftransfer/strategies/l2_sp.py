"""Fine-tuning that pulls weights back to the checkpoint's (L2-SP, Li et al. 2018, https://arxiv.org/abs/1802.01483).

The pull is decoupled from the gradient, like AdamW's weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101):
w <- w - lr * alpha * (w - w0) for a weight of the checkpoint. The head has no w0 and decays by `training.weight_decay`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from hftransfer.models.layers import head_names
from hftransfer.strategies import Strategy, TrainingFields

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class L2Sp(Strategy):
    """Train all weights, those of the checkpoint close to where they start."""

    training: ClassVar[TrainingFields] = {"learning_rate": 2.0e-4, "num_train_epochs": 10, "weight_decay": 0.0}

    alpha: float = Field(default=100.0, ge=0, le=1e9)
    """Strength of the pull: at a learning rate of 2e-4, a weight without a gradient is half-way back after 35 steps."""

    def callbacks(self, model: nn.Module) -> list[TrainerCallback]:
        import torch
        from transformers import TrainerCallback

        head_prefixes, alpha = tuple(f"{name}." for name in head_names(model)), self.alpha
        start = {
            name: parameter.detach().clone()
            for name, parameter in model.named_parameters()
            if not name.startswith(head_prefixes)
        }

        class Pull(TrainerCallback):
            """Runs after each step of the optimizer, with the learning rate of that step."""

            def on_optimizer_step(
                self,
                args: TrainingArguments,
                state: TrainerState,
                control: TrainerControl,
                *,
                optimizer: Optimizer,
                **_kwargs: Any,
            ) -> None:
                share = alpha * optimizer.param_groups[0]["lr"]
                with torch.no_grad():
                    for name, parameter in model.named_parameters():
                        if name in start:
                            parameter.lerp_(start[name], min(1.0, share))

        return [Pull()]
