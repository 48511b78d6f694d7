"""A smaller model made of a trained one: fewer layers, fewer attention heads, a narrower feed-forward."""

import copy
from typing import Any

import numpy as np

from hftransfer.core.errors import ModelError
from hftransfer.models.layers import blocks

# Lists of configs with an entry for each layer.
_BY_LAYER = ("layer_types", "mlp_layer_types", "no_rope_layers", "attention_window", "attention_layers")
# What the families call the number of their layers, and the width of their feed-forward.
_LAYERS = ("num_hidden_layers", "n_layers", "num_layers", "encoder_layers")
_WIDTHS = ("intermediate_size", "hidden_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim")


def drop_layers(model: Any, count: int) -> None:
    """Keep `count` of the layers, evenly spaced from the first to the last (Sajjad et al. 2023, arXiv:2004.03844).

    Raises:
        ModelError: the model has no such list of layers, or no more than `count`.
    """
    import torch

    if model.config.is_encoder_decoder:
        raise ModelError(f"layers cannot be taken out of a {type(model).__name__}, which has an encoder and a decoder")
    if hasattr(model.config, "global_attn_every_n_layers"):
        raise ModelError(
            f"layers cannot be taken out of a {type(model).__name__}: what one does follows from its place"
        )
    lists = {block.rpartition(".")[0] for block in blocks(model)}
    for key in _LAYERS:
        for name in sorted(lists):
            layers = model.get_submodule(name)
            if getattr(model.config, key, None) != len(layers):
                continue
            if count > len(layers):
                raise ModelError(f"{type(model).__name__} has {len(layers)} layers; {count} of them cannot be kept")
            kept = np.linspace(0, len(layers) - 1, count).round().astype(int).tolist()
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, torch.nn.ModuleList([layers[i] for i in kept]))
            _renumber(model.get_submodule(name))
            setattr(model.config, key, count)
            _keep_told(model.config, kept)
            _refuse_misfits(model, "layers")
            return
    raise ModelError(f"{type(model).__name__} has no list of layers whose number stands in its config")


def _renumber(layers: Any) -> None:
    """Give the layers of a decoder the numbers by which they find their place in its cache."""
    for number, layer in enumerate(layers):
        for module in layer.modules():
            for name in {"layer_idx", "layer_id"} & vars(module).keys():
                setattr(module, name, number)


def _keep_told(config: Any, kept: list[int]) -> None:
    """Let what the config says layer by layer be that of the layers which stay."""
    for key in _BY_LAYER:
        if isinstance(told := getattr(config, key, None), list | tuple):
            setattr(config, key, [told[layer] for layer in kept])
    if hasattr(config, "attention_types"):
        # GPT-Neo reads its `attention_layers` out of these: kinds, and how often.
        config.attention_types = [[[kind], 1] for kind in config.attention_layers]
    if heads := getattr(config, "pruned_heads", None):
        config.pruned_heads = {new: heads[layer] for new, layer in enumerate(kept) if layer in heads}


def _refuse_misfits(model: Any, what: str) -> None:
    """Raise where the changed config makes another model than this one: it could not be read again.

    So it is where weights follow from the number of layers, yet do not stand in one (YOLOS's middle positions).
    """
    import torch

    if getattr(model.config, "pruned_heads", None):
        # Such a model cannot be made without weights.
        return
    try:
        with torch.device("meta"):
            fresh = dict(type(model)._from_config(copy.deepcopy(model.config)).named_parameters())
    except (AssertionError, ValueError, IndexError) as error:
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"{what} cannot be taken out of a {type(model).__name__}: {why}") from None
    for name, weights in model.named_parameters():
        if name not in fresh or fresh[name].shape != weights.shape:
            raise ModelError(f"{what} cannot be taken out of a {type(model).__name__}: '{name}' is not made for it")


def narrow(model: Any, share: float) -> None:
    """Take this share of the feed-forward's units out of every layer, those of the smallest weights.

    A unit counts by the product of the norms of its weights in and out.

    Raises:
        ModelError: no feed-forward is found whose width stands in the config.
    """
    import torch

    key = next((key for key in _WIDTHS if isinstance(getattr(model.config, key, None), int)), None)
    found = [] if key is None else _feed_forwards(model, getattr(model.config, key))
    if key is None or not found:
        raise ModelError(f"{type(model).__name__} has no feed-forward whose width stands in its config")
    width = getattr(model.config, key)
    left = max(1, round(width * (1 - share)))
    for ins, outs in found:
        norms = [layer.weight.norm(dim=1) for layer in ins] + [layer.weight.norm(dim=0) for layer in outs]
        kept = _largest(torch.stack(norms).prod(dim=0), left)
        for layer in ins:
            _select(layer, kept, 0)
        for layer in outs:
            _select(layer, kept, 1)
    for name in _WIDTHS:
        if getattr(model.config, name, None) == width:
            setattr(model.config, name, left)
    _refuse_misfits(model, "units of the feed-forward")


def _feed_forwards(model: Any, width: int) -> list[tuple[list[Any], list[Any]]]:
    """For each block the Linear layers into its feed-forward's units, and those out of them."""
    import torch

    found = []
    for block in blocks(model):
        linears = [m for m in model.get_submodule(block).modules() if isinstance(m, torch.nn.Linear)]
        ins = [m for m in linears if m.out_features == width != m.in_features]
        outs = [m for m in linears if m.in_features == width != m.out_features]
        if ins and outs:
            found.append((ins, outs))
    return found


def drop_heads(model: Any, share: float) -> None:
    """Take this share of the attention heads out of every layer, those of the smallest weights.

    A head counts by the product of the norms of its values and of its part of the output layer.

    Raises:
        ModelError: Transformers cannot take heads out of such a model.
    """
    number = getattr(model.config, "num_attention_heads", None)
    refusal = ModelError(
        f"Transformers cannot take attention heads out of a {type(model).__name__}: set strategy.heads to 0"
    )
    if not callable(getattr(model.base_model, "_prune_heads", None)) or not isinstance(number, int):
        raise refusal
    drop = min(number - 1, round(number * share))
    chosen = {}
    for layer, block in enumerate(blocks(model)):
        values, output = _attention(model.get_submodule(block), model.config.hidden_size)
        by_head = values.weight.view(number, -1).norm(dim=1) * output.weight.T.reshape(number, -1).norm(dim=1)
        kept = set(_largest(by_head, number - drop).tolist())
        chosen[layer] = sorted(set(range(number)) - kept)
    if drop:
        try:
            model.prune_heads(chosen)
        except NotImplementedError:
            raise refusal from None


def _attention(block: Any, size: int) -> tuple[Any, Any]:
    """The layers of values and output of a block's attention, by their order: query, key, value, output."""
    import torch

    square = [m for m in block.modules() if isinstance(m, torch.nn.Linear) and m.in_features == m.out_features == size]
    if len(square) != 4:
        raise ModelError(f"a {type(block).__name__} has no attention of four square layers: set strategy.heads to 0")
    return square[2], square[3]


def _largest(scores: Any, count: int) -> Any:
    """The numbers of the largest scores, in order."""
    import torch

    if scores.is_meta:
        return torch.arange(count)
    return scores.topk(count).indices.sort().values


def _select(layer: Any, kept: Any, dim: int) -> None:
    """A Linear layer with some of its outputs (dim 0) or inputs (dim 1)."""
    import torch

    kept = kept.to(layer.weight.device)
    layer.weight = torch.nn.Parameter(layer.weight.detach().index_select(dim, kept).contiguous())
    if dim == 0 and layer.bias is not None:
        layer.bias = torch.nn.Parameter(layer.bias.detach().index_select(0, kept).contiguous())
    layer.out_features, layer.in_features = layer.weight.shape
