"""A loss of the task's own in place of the model's, for `Task.install_loss`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    replace_loss_of_batch(model, lambda output, batch: loss(output, batch["labels"]))


def replace_loss_of_batch(
    model: PreTrainedModel, loss: Callable[[Any, ModelBatch], Tensor], names: Sequence[str] = ("labels",)
) -> None:
    """As `replace_loss`, of a loss that reads the whole batch, such as the mask for a pooling.

    The model itself sees no entries of these `names`. The loss may call it for some of them, without labels.
    """

    from transformers.modeling_outputs import SequenceClassifierOutput

    def take_labels(module: Any, args: Any, kwargs: ModelBatch) -> tuple[Any, ModelBatch]:
        module.loss_batch = kwargs if kwargs.get("labels") is not None else None
        return args, {name: value for name, value in kwargs.items() if name not in names}

    def set_loss(module: Any, _args: Any, output: Any) -> Any:
        batch, module.loss_batch = module.loss_batch, None
        if batch is None:
            return output
        value = loss(output, batch)
        if "loss" not in getattr(output, "__dataclass_fields__", ("loss",)):
            # The output of a model without a head, which distributed training makes anew by its class.
            return SequenceClassifierOutput(loss=value)
        output["loss"] = value
        return output

    model.register_forward_pre_hook(take_labels, with_kwargs=True)
    # Before the hooks of a strategy, which may add to this loss or replace it.
    model.register_forward_hook(set_loss, prepend=True)
