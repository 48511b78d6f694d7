"""A loss of the task's own in place of the model's, for `Task.install_loss`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from hftransfer.tasks import ModelBatch


def replace_loss(model: PreTrainedModel, loss: Callable[[Any, Tensor], Tensor]) -> None:
    """Make `loss(output, labels)` the loss of a model, which itself no longer sees the labels.

    `output` is the model's output (`output.logits` ...), `labels` the entry of that name of the batch as `collate` made
    it; the result is a scalar. For labels that the model's own loss cannot take: numbers for each token, for example.
    """

    def take_labels(module: Any, args: Any, kwargs: ModelBatch) -> tuple[Any, ModelBatch]:
        module.labels = kwargs.get("labels")
        return args, {name: value for name, value in kwargs.items() if name != "labels"}

    def set_loss(module: Any, _args: Any, output: Any) -> Any:
        if module.labels is not None:
            output["loss"] = loss(output, module.labels)
        return output

    model.register_forward_pre_hook(take_labels, with_kwargs=True)
    # Before the hooks of a strategy, which may add to this loss or replace it.
    model.register_forward_hook(set_loss, prepend=True)
