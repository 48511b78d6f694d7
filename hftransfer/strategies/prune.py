"""A smaller model out of a tuned one: heads, feed-forward units, layers or single weights go, the rest recovers.

By the size of the weights: Han et al. 2015, https://arxiv.org/abs/1506.02626; heads: Michel et al. 2019,
https://arxiv.org/abs/1905.10650. `model.id` is the run to make smaller. What is taken out as a whole makes the model
smaller and faster; single weights become zeros, which only compress.
"""

from typing import Any, ClassVar

from pydantic import Field, model_validator

from hftransfer.models.layers import block_linears
from hftransfer.models.pruning import drop_attention_heads, drop_layers, narrow
from hftransfer.strategies import Strategy


class Prune(Strategy):
    """Prune, then fine-tune what is left."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 1.0e-4, "num_train_epochs": 3}

    heads: float = Field(default=0.0, ge=0, lt=1)
    """Share of the attention heads to take out of each layer."""
    width: float = Field(default=0.0, ge=0, lt=1)
    """Share of the feed-forward's units to take out of each layer."""
    layers: int | None = Field(default=None, ge=1)
    """Layers to keep, evenly spaced; left out, all."""
    weights: float = Field(default=0.0, ge=0, lt=1)
    """Share of the single weights of each Linear layer to set to zero."""

    @model_validator(mode="after")
    def _something_goes(self) -> "Prune":
        if not (self.heads or self.width or self.layers or self.weights):
            raise ValueError("say what goes: heads, width or weights (a share), or layers (how many stay)")
        return self

    def prepare(self, model: Any) -> Any:
        """The smaller model.

        Raises:
            ModelError: the model has nothing of what should go.
        """
        if self.layers:
            drop_layers(model, self.layers)
        if self.width:
            narrow(model, self.width)
        if self.heads:
            drop_attention_heads(model, self.heads)
        return model

    def callbacks(self, model: Any) -> list[Any]:
        import torch
        from transformers import TrainerCallback

        if not self.weights:
            return []
        masks = {}
        for name in block_linears(model):
            size = model.get_submodule(name).weight.detach().abs()
            last = size.flatten().kthvalue(max(1, round(self.weights * size.numel()))).values
            masks[name] = size > last

        class Zeros(TrainerCallback):
            """What is zero stays zero."""

            def on_train_begin(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
                self.on_optimizer_step(args, state, control)

            def on_optimizer_step(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
                with torch.no_grad():
                    for name, mask in masks.items():
                        model.get_submodule(name).weight.mul_(mask)

        return [Zeros()]
