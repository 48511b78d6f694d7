"""Cached features: what a head reads of its backbone's output, computed once for every row.

Which fields of the output these are, and whether the head reads all positions of them or the first one alone, follows
from the gradients of the model's outputs, so no list of architectures is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.data.encode import LENGTH, MAX_CACHE_BYTES, EncodedSplits, Example, cache_rows, without_side
from hftransfer.tasks import ModelBatch, Task

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor, nn
    from transformers import PreTrainedModel
    from transformers.utils import ModelOutput

_PREFIX = "feature_"
"""Of the columns, and of the entries of a batch, that hold features."""

Columns = dict[str, list[Any]]
"""Column -> one cell a row."""


@dataclass(frozen=True)
class FieldsRead:
    """The output of a backbone, and what a head reads of it."""

    output_class: type[ModelOutput]
    filled: list[str]
    """The fields that hold a tensor."""
    first_only: dict[str, bool]
    """Field that the head reads -> whether it reads the first position alone, and not all of them."""
    sequences: bool
    """Whether the head reads all positions of some field."""


def fields_read(model: PreTrainedModel, task: Task, batch: ModelBatch) -> FieldsRead | None:
    """What the head reads for two rows; None where that is no field of the backbone's output."""
    import torch
    from transformers.utils import ModelOutput

    leaves: dict[str, Tensor] = {}
    output_classes: list[type[ModelOutput]] = []

    def replace_by_leaves(_module: nn.Module, _args: Any, output: ModelOutput) -> ModelOutput:
        if not isinstance(output, ModelOutput):
            return output
        output_classes.append(type(output))
        for name, value in output.items():
            if isinstance(value, torch.Tensor):
                leaves[name] = value.detach().clone().requires_grad_()
        return type(output)(**(dict(output) | leaves))

    hook = model.base_model.register_forward_hook(replace_by_leaves)
    was_training = model.training
    model.eval()
    with torch.enable_grad():
        outputs = _model_outputs(model, task, _inputs(model, task, batch))
        differentiable = [tensor for tensor in outputs if tensor.requires_grad]
        if leaves and differentiable:
            sum(_weighted_sum(tensor) for tensor in differentiable).backward()
    hook.remove()
    model.zero_grad()
    model.train(was_training)
    gradients = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None and leaf.grad.any()}
    first_only = {name: grad.ndim == 3 and not grad[:, 1:].any() for name, grad in gradients.items()}
    sequences = any(not first and leaves[name][0].squeeze().ndim > 1 for name, first in first_only.items())
    return FieldsRead(output_classes[0], list(leaves), first_only, sequences) if gradients else None


def _inputs(model: PreTrainedModel, task: Task, batch: ModelBatch) -> ModelBatch:
    """A batch without its labels, on the model's device."""
    return {name: value.to(model.device) for name, value in batch.items() if name not in task.label_names}


def _model_outputs(model: PreTrainedModel, task: Task, inputs: ModelBatch) -> list[Tensor]:
    """The outputs that the head makes."""
    output = model(**inputs)
    return [output[name] for name in task.output_names if name in output]


def _weighted_sum(outputs: Tensor) -> Tensor:
    """The sum of outputs, each with another weight, since the logits of some heads add up to a constant."""
    import torch

    return (outputs * torch.arange(1, outputs.numel() + 1, device=outputs.device).view_as(outputs)).sum()


def can_be_cached(
    model: PreTrainedModel, task: Task, encoded: EncodedSplits, batch: ModelBatch, read: FieldsRead
) -> bool:
    """Whether a table can hold the features and labels of all rows, and the head needs nothing else.

    Not so where sequences differ in length, or where the features take more disk than `MAX_CACHE_BYTES`.
    """
    import torch

    if not all(isinstance(batch[name], torch.Tensor) for name in task.label_names if name in batch):
        return False
    if read.sequences and not all(_have_one_length(rows) for rows in encoded.splits.values()):
        return False
    columns = compute_features(model, task, batch, read)
    size = sum(arrays[0].nbytes for arrays in columns.values())
    if size * sum(len(rows) for rows in encoded.splits.values()) > MAX_CACHE_BYTES:
        return False
    return _are_sufficient(model, task, batch, read, columns)


def _have_one_length(rows: Dataset) -> bool:
    """Whether the lists in each column of encoded rows have one length."""
    import pyarrow.compute
    from datasets import List

    if LENGTH in rows[0]:
        return False
    for name in without_side([rows[0]])[0]:
        if isinstance(rows.features.get(name), List):
            lists = rows.with_format("arrow")[name][:]
            lengths = pyarrow.compute.min_max(pyarrow.compute.list_value_length(lists)).as_py()
            if lengths["min"] != lengths["max"]:
                return False
    return True


def _are_sufficient(model: PreTrainedModel, task: Task, batch: ModelBatch, read: FieldsRead, columns: Columns) -> bool:
    """Whether the head gives the same outputs for features alone: some heads read an attention mask too."""
    import torch

    features = {
        name: torch.from_numpy(np.stack(arrays)) for name, arrays in columns.items() if name.startswith(_PREFIX)
    }
    was_training = model.training
    model.eval()
    with torch.no_grad():
        expected = _model_outputs(model, task, _inputs(model, task, batch))
        replace_backbone(model, read)
        try:
            outputs = _model_outputs(model, task, _inputs(model, task, features))
        except (AttributeError, TypeError, ValueError, RuntimeError):
            # The head has asked for an input of the backbone.
            outputs = []
    restore_backbone(model)
    model.train(was_training)
    return bool(outputs) and all(
        output.shape == other.shape and torch.allclose(output, other, rtol=1e-3, atol=1e-4, equal_nan=True)
        for output, other in zip(outputs, expected, strict=True)
    )


def compute_features(model: PreTrainedModel, task: Task, batch: ModelBatch, read: FieldsRead) -> Columns:
    """The fields of a batch that the head reads, as float32 arrays, and its labels."""
    import torch

    outputs: list[ModelOutput] = []
    hook = model.base_model.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    was_training = model.training
    model.eval()
    with torch.no_grad():
        model(**_inputs(model, task, batch))
    hook.remove()
    model.train(was_training)
    (output,) = outputs
    columns = {
        _PREFIX + name: list((output[name][:, :1] if first else output[name]).float().cpu().numpy())
        for name, first in read.first_only.items()
    }
    return columns | {name: list(np.asarray(batch[name])) for name in task.label_names if name in batch}


def with_side(features: Dataset, rows: Dataset, file: Path) -> Dataset:
    """Cached features with the columns of the encoded rows that no model reads: `Encoded.side`, and `row`."""
    from datasets import concatenate_datasets

    example = rows[0]
    names = [name for name in example if name != LENGTH and name not in without_side([example])[0]]
    if not names:
        return features
    if set(names) <= set(rows.column_names):
        side = rows.select_columns(names)
    else:
        # The rows are encoded when they are read.
        side = cache_rows(rows, _lists_of(names), file, "side data")
    table = concatenate_datasets([features.with_format(None), side.with_format(None)], axis=1)
    if rows.format["type"] == "numpy":
        return table.with_format("numpy")
    return table.with_format("numpy", columns=features.column_names, output_all_columns=True)


def _lists_of(names: list[str]) -> Callable[[Columns], Columns]:
    """A function that selects columns, and makes lists of arrays, which a table would take to be of one shape."""

    def select(columns: Columns) -> Columns:
        return {
            name: [cell.tolist() if isinstance(cell, np.ndarray | np.generic) else cell for cell in columns[name]]
            for name in names
        }

    return select


def collate(examples: list[Example]) -> ModelBatch:
    """A batch of cached features and labels."""
    from transformers import default_data_collator

    return dict(default_data_collator(without_side(examples)))


def replace_backbone(model: PreTrainedModel, read: FieldsRead) -> None:
    """Put a module that returns the features of a batch in the place of the model's backbone."""
    import torch

    class CachedBackbone(torch.nn.Module):
        """Returns features as the backbone's output."""

        # Trainer looks for it where activations are recomputed; here are none.
        gradient_checkpointing = False

        def __init__(self, backbone: nn.Module) -> None:
            super().__init__()
            # In a list, so that the backbone's weights are neither saved with checkpoints nor moved.
            self.replaced = [backbone]
            self.dtype = backbone.dtype
            self.features: dict[str, Tensor] = {}

        def forward(self, *_args: Any, **_kwargs: Any) -> ModelOutput:
            """The features under the names of their fields; fields that the head does not read are empty."""
            value = next(iter(self.features.values()))
            empty = value.new_zeros((len(value), 0))
            return read.output_class(**{name: self.features.get(name, empty) for name in read.filled})

    cached = CachedBackbone(model.base_model)

    def take_features(_module: nn.Module, args: Any, kwargs: ModelBatch) -> tuple[Any, ModelBatch]:
        names = [name for name in kwargs if name.startswith(_PREFIX)]
        cached.features = {name.removeprefix(_PREFIX): kwargs[name].to(cached.dtype) for name in names}
        return args, {name: value for name, value in kwargs.items() if name not in names}

    cached.hook = model.register_forward_pre_hook(take_features, with_kwargs=True)
    setattr(model, model.base_model_prefix, cached)


def restore_backbone(model: PreTrainedModel) -> None:
    """Undo `replace_backbone`, where it was done."""
    cached = model.base_model
    if hasattr(cached, "replaced"):
        cached.hook.remove()
        setattr(model, model.base_model_prefix, cached.replaced[0])
