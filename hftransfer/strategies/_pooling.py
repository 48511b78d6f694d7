"""The pooling that suits the training rows best, among those that the model can hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.results import HeadInput
from hftransfer.models.frozen_features import Features, features_of
from hftransfer.models.layers import blocks, has_logits_layer
from hftransfer.models.pooling import hold_pooling
from hftransfer.models.probe import rank_poolings
from hftransfer.strategies import TrainingContext
from hftransfer.tasks import RowTarget

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NAMES = {
    "mean": "the mean of all tokens",
    "first": "the first token",
    "pooler": "the checkpoint's pooler",
    "head": "what the head made of the checkpoint",
}


@dataclass(frozen=True)
class HeldPooling:
    """A model whose layer that makes the logits reads a pooling."""

    features: np.ndarray
    """What the layer reads of the training rows: shape (rows, size)."""
    references: np.ndarray
    """Of the training rows, as the model's loss takes them."""
    note: str
    """What was done, in a sentence."""
    head_input: HeadInput
    """The same for programs."""


def hold_best_pooling(model: PreTrainedModel, target: RowTarget, context: TrainingContext) -> HeldPooling | None:
    """Change a model in place so that its head reads the checkpoint's own pooling, else the best of the training rows.

    None where it can hold none.
    """
    if not has_logits_layer(model):
        return None
    references = context.task.references(context.rows["train"])
    if target == "number":
        references = context.task.training_logits(references)
    features, depth = context.features(model), len(blocks(model))
    for pooling in _candidates(target, features, references, context):
        transform = hold_pooling(model, pooling, features[pooling], partial(_read, model, context))
        if transform is not None:
            additional = " by an additional block of uniform attention" if len(blocks(model)) > depth else ""
            reason = (
                "as the checkpoint was trained"
                if pooling == context.pooling
                else "which cross-validation on the training rows chose"
            )
            note = f"The head reads {_NAMES[pooling]}{additional}, {reason}."
            head_input = HeadInput(pooling=pooling, layer_norm=transform.layer_norm, tanh=transform.tanh)
            return HeldPooling(transform(features[pooling]), references, note, head_input)
    return None


def _candidates(
    target: RowTarget, features: Features, references: np.ndarray, context: TrainingContext
) -> Iterator[str]:
    """The checkpoint's own pooling, then all of them, the best of the training rows first."""
    if context.pooling in features:
        yield context.pooling
    yield from rank_poolings("probe", target, features, references, context.seed)


def _read(model: PreTrainedModel, context: TrainingContext, row: int) -> np.ndarray:
    """What the layer that makes the logits reads of a training row, read alone; empty where that is not one vector."""
    examples = [context.encoded.splits["train"][row]]
    features = features_of(context.task, model, examples, context.encoded.collate)
    return features["head"][0] if "head" in features else np.empty(0)
