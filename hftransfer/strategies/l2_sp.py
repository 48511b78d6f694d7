"""Fine-tuning that is pulled back to the checkpoint's weights (L2-SP, Li et al. 2018, https://arxiv.org/abs/1802.01483).

The pull is applied as AdamW applies weight decay, beside the gradient (Loshchilov and Hutter 2019, arXiv:1711.05101):
w <- w - lr * alpha * (w - w0) for a weight of the checkpoint. The head has no w0 and decays by `training.weight_decay`.
"""

from typing import Any, ClassVar

from pydantic import Field

from hftransfer.models.layers import head_names
from hftransfer.strategies import Strategy


class L2Sp(Strategy):
    """Train everything, the checkpoint's weights on a lead."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 2.0e-4, "num_train_epochs": 10, "weight_decay": 0.0}

    alpha: float = Field(default=100.0, ge=0)
    """Strength of the pull: with a rate of 2e-4, a weight that has no gradient is half-way back after 35 steps."""

    def callbacks(self, model: Any) -> list[Any]:
        import torch
        from transformers import TrainerCallback

        heads, alpha = tuple(f"{name}." for name in head_names(model)), self.alpha
        start = {n: p.detach().clone() for n, p in model.named_parameters() if not n.startswith(heads)}

        class Pull(TrainerCallback):
            """After each step of the optimizer, at the rate of that step."""

            def on_optimizer_step(
                self, args: Any, state: Any, control: Any, optimizer: Any = None, **_kwargs: Any
            ) -> None:
                share = alpha * optimizer.param_groups[0]["lr"]
                with torch.no_grad():
                    for name, parameter in model.named_parameters():
                        if name in start:
                            parameter.lerp_(start[name], min(1.0, share))

        return [Pull()]
