"""Features of a frozen encoder: one vector a row for each way of pooling, from one forward pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.machine import keep_freed_memory
from hftransfer.core.progress import Progress
from hftransfer.data.encode import EncodedSplits, Example, encode_one, longest_first, side_of, without_side
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.layers import has_logits_layer, logits_layer, row_encoder
from hftransfer.tasks import ModelBatch, Task

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

Features = dict[str, np.ndarray]
"""Pooling (`mean`, `first`, `pooler`, `head`) -> float32 features of shape (rows, size)."""

# Of sentence-transformers; what else there is changes the embeddings.
_MODULES = {"Transformer", "Pooling", "Normalize"}
_NAMED = {
    "mean": "mean",
    "cls": "first",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
}


def named_pooling(weights: Checkpoint | None) -> str | None:
    """The pooling that a checkpoint of sentence-transformers was trained with (`1_Pooling/config.json`).

    None where the checkpoint has no such file, names another pooling than `frozen_features` has, or has further layers
    after it (`2_Dense`).
    """
    if weights is None:
        return None
    fields = _json_of(weights, "1_Pooling/config.json") or {}
    # Older versions have a field for each.
    older = [name for name, value in fields.items() if name.startswith("pooling_mode_") and value is True]
    named = [fields["pooling_mode"]] if "pooling_mode" in fields else older
    if len(named) != 1 or not isinstance(named[0], str):
        return None
    kinds = {str(module.get("type")).rpartition(".")[2] for module in _json_of(weights, "modules.json") or []}
    return _NAMED.get(named[0]) if kinds <= _MODULES else None


def _json_of(weights: Checkpoint, name: str) -> Any:
    """What a JSON file of a checkpoint holds; None where there is none."""
    from transformers.utils import cached_file

    file = cached_file(
        weights.path,
        name,
        revision=weights.revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return json.loads(Path(file).read_text(encoding="utf-8")) if file else None


def baseline_features(features: Features, named: str | None) -> Features:
    """What the baselines choose from: the pooling that the checkpoint names, else all but what a new head makes."""
    kept = {named} if named in features else features.keys() - {"head"}
    return {name: it for name, it in features.items() if name in kept}


def frozen_features(task: Task, model: Any, encoded: EncodedSplits, split: str, batch_size: int) -> Features:
    """The features of all rows of a split, in their order.

    - `mean`: the mean over tokens, patches, frames or places, without padding
    - `first`: the first token, which is the class token of BERT and ViT
    - `pooler`: what the checkpoint's own pooler makes of them, where it has one
    - `head`: what the layer that makes the logits reads, where it reads one vector a row
    """
    if model.device.type == "cpu":
        keep_freed_memory()
    rows = encoded.splits[split]
    order = longest_first(rows)
    found: list[Features] = []
    with Progress(total=len(order), desc=f"frozen features of {split}", unit="row") as bar:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            found.append(features_of(task, model, rows.__getitems__(batch), encoded.collate))
            bar.update(len(batch))
    return {name: array[np.argsort(order)] for name, array in _concatenated(found).items()}


def features_of(
    task: Task, model: Any, examples: list[Example], collate: Callable[[list[Example]], ModelBatch]
) -> Features:
    """The features of some encoded rows, in one batch.

    Tasks call a model of sound once for each length in a batch. Such rows are read one by one.
    """
    import torch
    from accelerate.utils import send_to_device

    seen: list[Any] = []
    read: list[Tensor] = []
    hooks = [row_encoder(model).register_forward_hook(lambda _module, _args, output: seen.append(output))]
    if has_logits_layer(model):
        hooks.append(logits_layer(model).register_forward_pre_hook(lambda _module, args: read.append(args[0])))
    model.eval()
    inputs = send_to_device(collate(examples), model.device)
    try:
        with torch.inference_mode():
            task.outputs(model, inputs, side_of(examples))
    finally:
        for hook in hooks:
            hook.remove()
    if len(seen) > 1:
        return _concatenated([features_of(task, model, [example], collate) for example in examples])
    features = _pooled(seen[0], inputs.get("attention_mask"))
    if len(read) == 1 and read[0].ndim == 2:
        features["head"] = read[0].float().cpu().numpy()
    return features


def reads_one_vector(task: Task, model: Any, rows: Dataset) -> bool:
    """Whether the layer that makes the logits reads one vector a row."""
    return "head" in features_of(task, model, encode_one(task, rows[0]), lambda it: task.collate(without_side(it)))


def output_dimensions(task: Task, model: Any, rows: Dataset) -> int:
    """The dimensions of the encoder's output for a row: 3 of tokens, 4 of maps, 2 of one vector."""
    import torch

    seen: list[int] = []
    hook = row_encoder(model).register_forward_hook(lambda _module, _args, output: seen.append(output[0].ndim))
    examples = encode_one(task, rows[0])
    with torch.inference_mode():
        task.outputs(model.eval(), task.collate(without_side(examples)), side_of(examples))
    hook.remove()
    return seen[0]


def _concatenated(pieces: list[Features]) -> Features:
    return {name: np.concatenate([features[name] for features in pieces]) for name in pieces[0]}


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
