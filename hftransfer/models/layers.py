"""What a model is made of: its head, its repeated blocks, its parameters."""

from functools import partial
from typing import Any

from hftransfer.core.errors import ModelError


def head_names(model: Any) -> list[str]:
    """The children outside the base model that hold weights of their own: what a new task trains anew.

    Output layers that share the base's embeddings are none of them.
    """
    base = encoder(model)
    shared = {id(parameter) for parameter in base.parameters()}
    return [
        name
        for name, child in model.named_children()
        if child is not base and any(id(parameter) not in shared for parameter in child.parameters())
    ]


def encoder(model: Any) -> Any:
    """What the head stands on; where a classifier does not know its own (CLIP, Whisper), its largest part."""
    base = model.base_model
    if base is not model or "Classification" not in type(model).__name__:
        return base
    return max(model.children(), key=lambda child: sum(1 for _ in child.modules()))


def block_linears(model: Any) -> list[str]:
    """Full names of the Linear layers in the base model's repeated blocks (the members of its ModuleLists).

    GPT-2's `Conv1D` is one, its weights the other way round.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    lists = [name for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)]
    heads = tuple(f"{name}." for name in head_names(model))
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and any(name.startswith(f"{block}.") for block in lists)
        and not name.startswith(heads)
    ]


def hold_statistics(model: Any) -> None:
    """Keep the BatchNorms of what is frozen as they are: their running means are no parameters, and would follow."""
    import torch

    for module in model.modules():
        norm = isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
        if norm and not any(parameter.requires_grad for parameter in module.parameters()):
            module.eval()
            module.train = partial(_stay, module)


def _stay(module: Any, _mode: bool = True) -> Any:
    """In the place of a module's `train`."""
    return module


def free_statistics(model: Any) -> None:
    """Undo `hold_statistics`."""
    for module in model.modules():
        module.__dict__.pop("train", None)


def parameters(model: Any) -> tuple[int, int]:
    """Number of all parameters, and of those that train."""
    counted = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, _ in counted), sum(n for n, trains in counted if trains)


def blocks(model: Any) -> list[str]:
    """Full names of the repeated blocks in the order in which they are registered, from the input to the head.

    They are the members of the outermost ModuleLists of the base model that hold weights.
    """
    return [f"{name}.{number}" for name, length in _lists(model).items() for number in range(length)]


def _lists(model: Any) -> dict[str, int]:
    """Full name -> length of the lists of blocks."""
    import torch

    lists: list[str] = []
    for name, module in model.named_modules():
        inner = any(name.startswith(f"{outer}.") for outer in lists)
        if isinstance(module, torch.nn.ModuleList) and not inner and any(True for _ in module.parameters()):
            lists.append(name)
    heads = tuple(f"{name}." for name in head_names(model))
    return {name: len(model.get_submodule(name)) for name in lists if not f"{name}.".startswith(heads)}


def _places(model: Any) -> dict[str, int]:
    """Block -> its place from the input, from 1 on.

    Lists of one length beside each other are parts of the same blocks (SegFormer's embeddings, blocks and norms).
    """
    beside: dict[tuple[str, int], list[str]] = {}
    for name, length in _lists(model).items():
        beside.setdefault((name.rpartition(".")[0], length), []).append(name)
    found: dict[str, int] = {}
    passed = 0
    for (_, length), names in beside.items():
        found |= {f"{name}.{number}": passed + number + 1 for name in names for number in range(length)}
        passed += length
    return found


def depths(model: Any) -> dict[str, int]:
    """Parameter -> how many blocks stand at or before it: 0 for embeddings, the most for the last block.

    What follows the last block (a final norm, a pooler) and the head are one deeper than the last block; embeddings
    that are registered there (DeBERTa's relative positions) are read by all blocks, and count as the others.

    Raises:
        ModelError: the model has no repeated blocks.
    """
    import torch

    places = {f"{block}.": depth for block, depth in _places(model).items()}
    if not places:
        raise ModelError(f"{type(model).__name__} has no repeated blocks by which its depth could be told")
    last = max(places.values())
    tables = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, torch.nn.Embedding))
    heads = tuple(f"{name}." for name in head_names(model))
    found: dict[str, int] = {}
    passed = 0
    for name, _ in model.named_parameters():
        own = next((depth for place, depth in places.items() if name.startswith(place)), None)
        passed = max(passed, own or 0)
        behind = own is None and passed == last
        if own is None and name.startswith(tables) and not name.startswith(heads):
            found[name] = 0
        else:
            found[name] = last + 1 if behind or name.startswith(heads) else own or passed
    return found


def logits_layer(model: Any) -> Any:
    """The Linear layer of the head that makes the logits of a classification.

    Raises:
        ModelError: there is none.
    """
    import torch

    heads = [model.get_submodule(name) for name in head_names(model)]
    linears = [module for head in heads for module in head.modules() if isinstance(module, torch.nn.Linear)]
    fits = [module for module in linears if module.out_features == model.config.num_labels]
    if not fits:
        raise ModelError(f"{type(model).__name__} has no layer in its head that makes the logits of its labels")
    return fits[-1]
