"""Features of a frozen encoder: one vector a row for each way of pooling, from one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.progress import Progress
from hftransfer.data.encode import EncodedSplits, Example, side_of
from hftransfer.evaluation.inference import longest_first
from hftransfer.models.layers import encoder
from hftransfer.tasks import ModelBatch, Task

if TYPE_CHECKING:
    from torch import Tensor

Features = dict[str, np.ndarray]
"""Pooling (`mean`, `first`, `pooler`) -> float32 features of shape (rows, size)."""


def frozen_features(task: Task, model: Any, encoded: EncodedSplits, split: str, batch_size: int) -> Features:
    """The features of all rows of a split, in their order.

    - `mean`: the mean over tokens, patches, frames or places, without padding
    - `first`: the first token, which is the class token of BERT and ViT
    - `pooler`: what the checkpoint's own pooler makes of them, where it has one
    """
    rows = encoded.splits[split]
    order = longest_first(rows)
    found: list[Features] = []
    read: list[int] = []
    with Progress(total=len(rows), desc=f"frozen features of {split}", unit="row") as bar:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            found += _batch_features(task, model, rows.__getitems__(batch), encoded.collate)
            read += batch
            bar.update(len(batch))
    stacked = {name: np.concatenate([features[name] for features in found]) for name in found[0]}
    return {name: array[np.argsort(read)] for name, array in stacked.items()}


def example_features(
    task: Task, model: Any, examples: list[Example], collate: Callable[[list[Example]], ModelBatch]
) -> Features:
    """The features of some encoded rows, in their order."""
    found = _batch_features(task, model, examples, collate)
    return {name: np.concatenate([features[name] for features in found]) for name in found[0]}


def _batch_features(
    task: Task, model: Any, examples: list[Example], collate: Callable[[list[Example]], ModelBatch]
) -> list[Features]:
    """The features of some rows, in one piece or in one for each row.

    Tasks call a model of sound once for each length in a batch. Such rows are read one by one.
    """
    import torch
    from accelerate.utils import send_to_device

    seen: list[Any] = []
    hook = encoder(model).register_forward_hook(lambda _module, _args, output: seen.append(output))
    model.eval()
    inputs = send_to_device(collate(examples), model.device)
    with torch.inference_mode():
        task.outputs(model, inputs, side_of(examples))
    hook.remove()
    if len(seen) == 1:
        return [_pooled(seen[0], inputs.get("attention_mask"))]
    return [piece for example in examples for piece in _batch_features(task, model, [example], collate)]


def _pooled(output: Any, mask: Tensor | None) -> Features:
    """Each pooling of an encoder's output: tokens of shape (rows, tokens, size) or maps (rows, size, height, width)."""
    import torch

    hidden = output[0].float()
    pooled = {}
    if hidden.ndim == 4:
        pooled["mean"] = hidden.mean(dim=(2, 3))
    elif hidden.ndim == 3:
        if mask is None or mask.shape != hidden.shape[:2]:
            mask = torch.ones(hidden.shape[:2], device=hidden.device)
        weights = mask.to(hidden)[..., None]
        pooled["mean"] = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        # Padding may stand on the left.
        pooled["first"] = hidden[torch.arange(len(hidden)), mask.argmax(dim=1)]
    else:
        pooled["mean"] = hidden.flatten(1)
    pooler = output.get("pooler_output") if hasattr(output, "get") else None
    if pooler is not None:
        pooled["pooler"] = pooler.float().flatten(1)
    return {name: tensor.cpu().numpy() for name, tensor in pooled.items()}
