"""The frozen backbone with a new head: what the checkpoint knows already (Alain and Bengio 2016, arXiv:1610.01644).

The backbone sees each row once. What the head reads of its output is kept, and the head is trained on that alone; which
fields these are, and whether only the first position of them, is asked of autograd, so no list of models is needed.
"""

from typing import Any, ClassVar

import numpy as np

from hftransfer.core.errors import ModelError
from hftransfer.data.encode import MAX_CACHE_BYTES, Encoded, cache_rows
from hftransfer.models.layers import encoder, free_statistics, head_names, hold_statistics
from hftransfer.strategies import Strategy, TrainingContext
from hftransfer.tasks import Task

_PREFIX = "kept_"


class LinearProbe(Strategy):
    """Train the head alone."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 3.0e-2, "num_train_epochs": 100}

    keep_features: bool = True
    """Compute the backbone's output of each row once; off, it is computed anew in every epoch, dropout included."""

    def check(self, task: Task, model: Any) -> None:
        if task.pretraining:
            raise ModelError(
                f"linear_probe finds no head of its own for '{task.name}', which has no labels: use 'full'"
            )

    def prepare(self, model: Any) -> Any:
        """The model with its base frozen.

        Raises:
            ModelError: the model has no head that could be trained alone.
        """
        if not head_names(model):
            raise ModelError(f"linear_probe finds no head of its own in {type(model).__name__}: use 'lora' or 'full'")
        encoder(model).requires_grad_(False)
        hold_statistics(model)
        return model

    def keep(self, model: Any, ground: TrainingContext) -> Encoded:
        """Rows of kept features, and the model's base put aside.

        Unchanged where the head reads whole sequences of different lengths, or more than the disk should hold.
        """
        encoded, folder = ground.encoded, ground.folder
        if not self.keep_features or model.base_model is model:
            return encoded
        batch = encoded.collate([encoded.splits["train"][row] for row in range(min(2, len(encoded.splits["train"])))])
        read = _fields_read(model, batch)
        uneven = any("length" in (rows.column_names or []) for rows in encoded.splits.values())
        if read is None or (read.sequences and uneven):
            return encoded
        size = sum(cells[0].nbytes for cells in _features(model, batch, read).values())
        if size * sum(len(rows) for rows in encoded.splits.values()) > MAX_CACHE_BYTES:
            return encoded
        folder.mkdir(parents=True, exist_ok=True)
        kept = {}
        for name, rows in encoded.splits.items():

            def features(cells: dict[str, list[Any]]) -> dict[str, list[Any]]:
                count = len(next(iter(cells.values())))
                made = encoded.collate([{key: cells[key][i] for key in cells} for i in range(count)])
                return _features(model, made, read)

            kept[name] = cache_rows(rows, features, folder / f"{name}.arrow", f"features of {name}")
        _put_aside(model, read)
        from transformers import default_data_collator

        return Encoded(kept, default_data_collator)

    def merge(self, model: Any) -> Any:
        """The whole model, its base back in place."""
        stub = model.base_model
        if hasattr(stub, "aside"):
            stub.hook.remove()
            setattr(model, model.base_model_prefix, stub.aside[0])
        free_statistics(model)
        return model


class _Read:
    """The outputs of a base: its class, the fields it fills, and those that the head reads: whole, or position 0."""

    def __init__(self, kind: type, filled: list[str], first_only: dict[str, bool], sequences: bool) -> None:
        self.kind, self.filled, self.first_only, self.sequences = kind, filled, first_only, sequences


def _fields_read(model: Any, batch: dict[str, Any]) -> _Read | None:
    """What the head reads, found from the gradient of the logits; None where that is nothing of the base's output."""
    import torch
    from transformers.utils import ModelOutput

    leaves: dict[str, Any] = {}
    kinds: list[type] = []

    def watch(_module: Any, _args: Any, output: Any) -> Any:
        if not isinstance(output, ModelOutput):
            return output
        kinds.append(type(output))
        for name, value in output.items():
            if isinstance(value, torch.Tensor):
                leaves[name] = value.detach().clone().requires_grad_()
        return type(output)(**(dict(output) | leaves))

    hook = model.base_model.register_forward_hook(watch)
    was_training = model.training
    model.eval()
    inputs = {name: value.to(model.device) for name, value in batch.items() if name != "labels"}
    with torch.enable_grad():
        logits = model(**inputs).logits
        if leaves and logits.requires_grad:
            # Weights that differ by logit, since the logits of some heads add up to a constant.
            (logits * torch.arange(1, logits.numel() + 1, device=logits.device).view_as(logits)).sum().backward()
    hook.remove()
    model.zero_grad()
    model.train(was_training)
    grads = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None and leaf.grad.any()}
    first_only = {name: grad.ndim == 3 and not grad[:, 1:].any() for name, grad in grads.items()}
    sequences = any(not first and leaves[name][0].squeeze().ndim > 1 for name, first in first_only.items())
    return _Read(kinds[0], list(leaves), first_only, sequences) if grads else None


def _features(model: Any, batch: dict[str, Any], read: _Read) -> dict[str, list[Any]]:
    """The fields that the head reads, and the labels, of a batch."""
    import torch

    outputs: list[Any] = []
    hook = model.base_model.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    was_training = model.training
    model.eval()
    inputs = {name: value.to(model.device) for name, value in batch.items() if name != "labels"}
    with torch.no_grad():
        model(**inputs)
    hook.remove()
    model.train(was_training)
    (output,) = outputs
    cells = {
        _PREFIX + name: list((output[name][:, :1] if first else output[name]).float().cpu().numpy())
        for name, first in read.first_only.items()
    }
    if "labels" in batch:
        cells["labels"] = list(np.asarray(batch["labels"]))
    return cells


def _put_aside(model: Any, read: _Read) -> None:
    """Replace the base by one that answers from the kept columns of the batch."""
    import torch

    class Kept(torch.nn.Module):
        """Stands where the base stood."""

        # What Trainer looks for where activations are not to be kept; here are none.
        gradient_checkpointing = False

        def __init__(self, base: Any) -> None:
            super().__init__()
            # In a list, so that the base's weights are neither saved with checkpoints nor moved.
            self.aside = [base]
            self.dtype = base.dtype
            self.values: dict[str, Any] = {}

        def forward(self, *_args: Any, **_kwargs: Any) -> Any:
            """The kept fields under their names; what the head does not read is empty."""
            value = next(iter(self.values.values()))
            empty = value.new_zeros((len(value), 0))
            return read.kind(**{name: self.values.get(name, empty) for name in read.filled})

    stub = Kept(model.base_model)

    def take(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        names = [name for name in kwargs if name.startswith(_PREFIX)]
        stub.values = {name.removeprefix(_PREFIX): kwargs[name].to(stub.dtype) for name in names}
        return args, {name: value for name, value in kwargs.items() if name not in names}

    stub.hook = model.register_forward_pre_hook(take, with_kwargs=True)
    setattr(model, model.base_model_prefix, stub)
