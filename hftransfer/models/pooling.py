"""A classifier made to read another pooling of its encoder, and still a plain model of Transformers.

What the layer that makes the logits reads is a matter of the architecture: BERT's reads the first token through a dense
layer and tanh. Two changes of weights make room for another pooling, without any code beside the model:

- the dense layer of the head passes on what it reads (an identity, small enough for tanh, far enough from 0 for ReLU);
- the mean of all tokens comes from an additional block whose attention is uniform: its queries and keys are 0, its
  values the tokens, its feed-forward layer 0. Padding stays masked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.models.layers import block_lists, encoder, head_names, logits_layer

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

Read = Callable[[int], np.ndarray]
"""What the layer that makes the logits reads for a training row, by a forward pass: shape (size,); else empty."""
ROWS = 4
"""Training rows by which it is seen what the layer reads."""

_QUERIES_AND_KEYS = ("query", "key", "q_lin", "k_lin", "q_proj", "k_proj", "query_proj", "key_proj")
_VALUES = ("value", "v_lin", "v_proj", "value_proj")
# Standard deviation of the mean in the block, beside which the token that the residual connection adds does not matter.
_GAIN = 1000.0
# At this scale tanh is nearly the identity for normalized features.
_SCALE = 0.1
_OTHER_BLOCKS = (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError)
# How far what the layer reads may be from what is expected, in standard deviations of the features.
_TOLERANCE = 0.01


@dataclass(frozen=True)
class Transform:
    """From pooled features to what the layer that makes the logits reads, both of shape (rows, size)."""

    layer_norm: bool = False
    """Whether each row gets mean 0 and variance 1."""
    tanh: bool = False
    """Whether tanh follows, of so small a multiple that it is nearly the identity."""
    shift: float = 0.0

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """What the layer reads."""
        if self.layer_norm:
            centred = features - features.mean(axis=1, keepdims=True)
            features = np.asarray(centred / centred.std(axis=1, keepdims=True))
        return np.tanh(_SCALE * features) if self.tanh else features + self.shift if self.shift else features


def hold_pooling(model: PreTrainedModel, pooling: str, features: np.ndarray, read: Read) -> Transform | None:
    """Change a classifier's weights in place so that the layer that makes the logits reads a pooling.

    Whether a change serves is seen by what the layer then reads, so no list of architectures is needed.

    Args:
        model: a classifier.
        pooling: `mean`, of all tokens, or any other one.
        features: the pooled features of the training rows, shape (rows, size).
        read: what the layer reads for the first of these rows.

    Returns:
        What the layer reads for given pooled features; None where no change serves, the model being as it was.
    """
    if transform := _with_head(model, features, read, Transform()):
        return transform
    blocks = _blocks(model) if pooling == "mean" else None
    if blocks is None:
        return None
    depth = len(blocks)
    blocks.append(_mean_block(blocks[-1], _GAIN / float(features.std())))
    # A block of another kind than BERT's cannot follow itself, and some configs have a list of all blocks.
    with suppress(*_OTHER_BLOCKS):
        model.config.num_hidden_layers = depth + 1
        if transform := _with_head(model, features, read, Transform(layer_norm=True)):
            return transform
    del blocks[-1]
    with suppress(*_OTHER_BLOCKS):
        model.config.num_hidden_layers = depth
    return None


def _with_head(model: PreTrainedModel, features: np.ndarray, read: Read, normalize: Transform) -> Transform | None:
    """`hold_pooling` by changes of the head's dense layer alone, for features as `normalize` gives them."""
    normalized, dense = normalize(features), _dense_layer(model)
    before = {} if dense is None else {name: it.clone() for name, it in dense.state_dict().items()}
    for passed_on, weight, bias in _ways(float(np.abs(normalized).max())):
        if dense is not None and weight:
            _pass_on(dense, weight, bias)
        if _reads(read, passed_on(normalized[:ROWS])):
            return replace(passed_on, layer_norm=normalize.layer_norm)
        if dense is None:
            return None
        dense.load_state_dict(before)
    return None


def _reads(read: Read, expected: np.ndarray) -> bool:
    """Whether the layer reads what is expected of the first rows; after the first one of which it does not, none."""
    tolerance = _TOLERANCE * expected.std()
    return all(
        (seen := read(row)).shape == wanted.shape and np.abs(seen - wanted).max() <= tolerance
        for row, wanted in enumerate(expected)
    )


def _ways(largest: float) -> list[tuple[Transform, float, float]]:
    """What comes through a dense layer and its activation, with the diagonal and the bias of the layer.

    0 is for the layer as it is. Far from 0 ReLU and GELU are the identity.
    """
    far = 2 * largest + 10
    return [
        (Transform(), 0.0, 0.0),
        (Transform(), 1.0, 0.0),
        (Transform(tanh=True), _SCALE, 0.0),
        (Transform(shift=far), 1.0, far),
    ]


def _dense_layer(model: PreTrainedModel) -> nn.Linear | None:
    """The only layer between the last block and the logits, where it keeps the size of the features."""
    import torch

    last, pooler = logits_layer(model), getattr(encoder(model), "pooler", None)
    parts = [model.get_submodule(name) for name in head_names(model)] + ([pooler] if pooler is not None else [])
    linears = {it for part in parts for it in part.modules() if isinstance(it, torch.nn.Linear)} - {last}
    square = [it for it in linears if it.in_features == it.out_features == last.in_features and it.bias is not None]
    return square[0] if len(square) == len(linears) == 1 else None


def _pass_on(dense: nn.Linear, weight: float, bias: float) -> None:
    """Make a layer a multiple of the identity, with one bias for all outputs."""
    import torch

    with torch.no_grad():
        dense.weight.copy_(weight * torch.eye(len(dense.weight)))
        dense.bias.fill_(bias)


def _blocks(model: PreTrainedModel) -> nn.ModuleList | None:
    """The list of the model's blocks; None where it is not one list, as long as the config says."""
    depth = getattr(model.config, "num_hidden_layers", None)
    names = [name for name, length in block_lists(model).items() if length == depth]
    return model.get_submodule(names[0]) if len(names) == 1 else None


def _mean_block(last: nn.Module, gain: float) -> nn.Module:
    """A block of the kind of another that gives each token the normalized mean of all tokens."""
    import torch

    block = copy.deepcopy(last)
    with torch.no_grad():
        for name, module in block.named_modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.copy_(_factor(name, gain) * torch.eye(*module.weight.shape))
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1)
            if isinstance(module, torch.nn.Linear | torch.nn.LayerNorm) and module.bias is not None:
                module.bias.zero_()
    return block


def _factor(name: str, gain: float) -> float:
    """Of the identity, in a Linear layer of the additional block."""
    short = name.rpartition(".")[2]
    if "att" not in name or short in _QUERIES_AND_KEYS:
        return 0.0
    return 1.0 if short in _VALUES else gain
