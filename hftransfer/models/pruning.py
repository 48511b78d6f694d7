"""A smaller model from a trained one: fewer layers, fewer attention heads, a narrower feed-forward."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.errors import ModelError
from hftransfer.models.compat import build_model, can_prune_heads
from hftransfer.models.layers import blocks

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel

# Lists in configs with one entry a layer.
_PER_LAYER = ("layer_types", "mlp_layer_types", "no_rope_layers", "attention_window", "attention_layers")
# What the model families call the number of their layers, and the width of their feed-forward.
_DEPTHS = ("num_hidden_layers", "n_layers", "num_layers", "encoder_layers")
_WIDTHS = ("intermediate_size", "hidden_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim")


def drop_layers(model: PreTrainedModel, count: int) -> None:
    """Leave `count` of the layers, evenly spaced from the first to the last (Sajjad et al. 2023, arXiv:2004.03844).

    Changes model and config in place.

    Raises:
        ModelError: the model has no such list of layers, or fewer than `count`.
    """
    import torch

    family = type(model).__name__
    if model.config.is_encoder_decoder:
        raise ModelError(f"layers cannot be taken out of a {family}, which has an encoder and a decoder")
    if hasattr(model.config, "global_attn_every_n_layers"):
        raise ModelError(f"layers cannot be taken out of a {family}: what a layer computes depends on its number")
    name, key, selected = selected_layers(model, count)
    layers = model.get_submodule(name)
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, torch.nn.ModuleList([layers[number] for number in selected]))
    _renumber(model.get_submodule(name))
    setattr(model.config, key, count)
    _select_config_entries(model.config, selected)
    _check_reloadable(model, "layers")


def selected_layers(model: PreTrainedModel, count: int) -> tuple[str, str, list[int]]:
    """Full name of the list of layers, the key of the config that holds its length, and which of them are left.

    Raises:
        ModelError: as `drop_layers`.
    """
    name, key = _layer_list(model)
    depth = len(model.get_submodule(name))
    if count > depth:
        raise ModelError(f"{type(model).__name__} has {depth} layers, so {count} of them cannot be kept")
    return name, key, np.linspace(0, depth - 1, count).round().astype(int).tolist()


def has_numbered_layers(model: PreTrainedModel) -> bool:
    """Whether fields of the config, or a cache, hold an entry for each layer."""
    listed = any(isinstance(getattr(model.config, key, None), list | tuple) for key in _PER_LAYER)
    return listed or bool(getattr(model.config, "is_decoder", False) or getattr(model.config, "pruned_heads", None))


def _layer_list(model: PreTrainedModel) -> tuple[str, str]:
    """Full name of the list of layers, and the key of the config that holds its length."""
    lists = sorted({block.rpartition(".")[0] for block in blocks(model)})
    for key in _DEPTHS:
        for name in lists:
            if getattr(model.config, key, None) == len(model.get_submodule(name)):
                return name, key
    raise ModelError(f"{type(model).__name__} has no list of layers with the length that its config gives")


def _renumber(layers: nn.ModuleList) -> None:
    """Give the layers of a decoder the numbers by which they find their entry in its cache."""
    for number, layer in enumerate(layers):
        for module in layer.modules():
            for name in {"layer_idx", "layer_id"} & vars(module).keys():
                setattr(module, name, number)


def _select_config_entries(config: PretrainedConfig, selected: list[int]) -> None:
    """Reduce the lists of the config with one entry a layer to the entries of the selected layers."""
    for key in _PER_LAYER:
        if isinstance(entries := getattr(config, key, None), list | tuple):
            setattr(config, key, [entries[layer] for layer in selected])
    if hasattr(config, "attention_types"):
        # From these GPT-Neo computes its `attention_layers`: [types, how often they are repeated].
        config.attention_types = [[[name], 1] for name in config.attention_layers]
    if pruned := getattr(config, "pruned_heads", None):
        config.pruned_heads = {new: pruned[layer] for new, layer in enumerate(selected) if layer in pruned}


def _check_reloadable(model: PreTrainedModel, removed: str) -> None:
    """Refuse a model of which its changed config would build another: it could not be loaded again.

    That happens where weights depend on the number of layers without belonging to one (YOLOS's middle positions).

    Raises:
        ModelError: the shapes differ.
    """
    import torch

    if getattr(model.config, "pruned_heads", None):
        # A model with pruned heads cannot be built on torch's meta device.
        return
    sentence = f"{removed} cannot be taken out of a {type(model).__name__}"
    try:
        with torch.device("meta"):
            rebuilt = dict(build_model(type(model), copy.deepcopy(model.config)).named_parameters())
    except (AssertionError, ValueError, IndexError) as error:
        raise ModelError(f"{sentence}: {' '.join(str(error).split())[:200]}") from None
    for name, weights in model.named_parameters():
        if name not in rebuilt or rebuilt[name].shape != weights.shape:
            raise ModelError(f"{sentence}: the shape of '{name}' would not follow from the config")


def narrow(model: PreTrainedModel, share: float) -> None:
    """Take this share of the feed-forward's units out of every layer, those with the smallest weights.

    A unit is ranked by the product of the norms of its input and output weights. Changes model and config in place.

    Raises:
        ModelError: no feed-forward has the width that the config gives.
    """
    import torch

    key = next((key for key in _WIDTHS if isinstance(getattr(model.config, key, None), int)), None)
    feed_forwards = [] if key is None else _feed_forwards(model, getattr(model.config, key))
    if key is None or not feed_forwards:
        raise ModelError(f"{type(model).__name__} has no feed-forward with the width that its config gives")
    width = getattr(model.config, key)
    remaining = max(1, round(width * (1 - share)))
    for inputs, outputs in feed_forwards:
        norms = [layer.weight.norm(dim=1) for layer in inputs] + [layer.weight.norm(dim=0) for layer in outputs]
        selected = _largest(torch.stack(norms).prod(dim=0), remaining)
        for layer in inputs:
            _select(layer, selected, 0)
        for layer in outputs:
            _select(layer, selected, 1)
    for name in _WIDTHS:
        if getattr(model.config, name, None) == width:
            setattr(model.config, name, remaining)
    _check_reloadable(model, "units of the feed-forward")


def _feed_forwards(model: PreTrainedModel, width: int) -> list[tuple[list[nn.Linear], list[nn.Linear]]]:
    """For each block the Linear layers into its feed-forward's units, and those out of them."""
    import torch

    feed_forwards = []
    for block in blocks(model):
        linears = [m for m in model.get_submodule(block).modules() if isinstance(m, torch.nn.Linear)]
        inputs = [m for m in linears if m.out_features == width != m.in_features]
        outputs = [m for m in linears if m.in_features == width != m.out_features]
        if inputs and outputs:
            feed_forwards.append((inputs, outputs))
    return feed_forwards


def drop_attention_heads(model: PreTrainedModel, share: float) -> None:
    """Take this share of the attention heads out of every layer, those with the smallest weights.

    A head is ranked by the product of the norms of its values and of its part of the output layer. Changes model and
    config in place.

    Raises:
        ModelError: Transformers cannot take heads out of such a model.
    """
    number = getattr(model.config, "num_attention_heads", None)
    refusal = ModelError(
        f"Transformers cannot take attention heads out of a {type(model).__name__}: set strategy.attention_heads to 0"
    )
    if not can_prune_heads(model) or not isinstance(number, int):
        raise refusal
    dropped = min(number - 1, round(number * share))
    pruned = {}
    for layer, block in enumerate(blocks(model)):
        values, output = _attention(model.get_submodule(block), model.config.hidden_size)
        scores = values.weight.view(number, -1).norm(dim=1) * output.weight.T.reshape(number, -1).norm(dim=1)
        selected = set(_largest(scores, number - dropped).tolist())
        pruned[layer] = sorted(set(range(number)) - selected)
    if dropped:
        try:
            model.prune_heads(pruned)
        except NotImplementedError:
            raise refusal from None


def _attention(block: nn.Module, size: int) -> tuple[nn.Linear, nn.Linear]:
    """The layers of values and output of a block's attention, by their order: query, key, value, output."""
    import torch

    square = [m for m in block.modules() if isinstance(m, torch.nn.Linear) and m.in_features == m.out_features == size]
    if len(square) != 4:
        raise ModelError(
            f"a {type(block).__name__} has no attention of four square layers: set strategy.attention_heads to 0"
        )
    return square[2], square[3]


def _largest(scores: Tensor, count: int) -> Tensor:
    """The indices of the largest scores, in ascending order; the first ones on torch's meta device."""
    import torch

    if scores.is_meta:
        return torch.arange(count)
    return scores.topk(count).indices.sort().values


def _select(layer: nn.Linear, selected: Tensor, dim: int) -> None:
    """Reduce a Linear layer to some of its outputs (dim 0) or inputs (dim 1), in place."""
    import torch

    selected = selected.to(layer.weight.device)
    layer.weight = torch.nn.Parameter(layer.weight.detach().index_select(dim, selected).contiguous())
    if dim == 0 and layer.bias is not None:
        layer.bias = torch.nn.Parameter(layer.bias.detach().index_select(0, selected).contiguous())
    layer.out_features, layer.in_features = layer.weight.shape
