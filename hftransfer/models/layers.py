"""What a model consists of: its head, its repeated blocks, its parameters."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from hftransfer.core.errors import ModelError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def head_names(model: PreTrainedModel) -> list[str]:
    """The children outside the base model that have weights: a new task trains them from random weights.

    Output layers that share the base model's embeddings are not among them.
    """
    base = encoder(model)
    shared = {id(parameter) for parameter in base.parameters()}
    return [
        name
        for name, child in model.named_children()
        if child is not base and any(id(parameter) not in shared for parameter in child.parameters())
    ]


def encoder(model: PreTrainedModel) -> nn.Module:
    """The base model under the head; where a classifier names none (CLIP, Whisper), its child with the most modules."""
    base: nn.Module = model.base_model
    if base is not model or "Classification" not in type(model).__name__:
        return base
    return max(model.children(), key=lambda child: sum(1 for _ in child.modules()))


def row_encoder(model: PreTrainedModel) -> nn.Module:
    """The encoder whose features stand for a row: of a model with a tower each for images and texts, that of images."""
    towers = [getattr(model, name, None) for name in ("vision_model", "text_model")]
    return encoder(model) if None in towers else towers[0]


def logits_layer(model: PreTrainedModel) -> nn.Linear:
    """The last Linear layer of the head with as many outputs as there are labels.

    Raises:
        ModelError: there is none.
    """
    import torch

    head_modules = [model.get_submodule(name) for name in head_names(model)]
    linears = [module for head in head_modules for module in head.modules() if isinstance(module, torch.nn.Linear)]
    fitting = [module for module in linears if module.out_features == model.config.num_labels]
    if not fitting:
        raise ModelError(f"{type(model).__name__} has no layer in its head that makes the logits of its labels")
    return fitting[-1]


def has_logits_layer(model: PreTrainedModel) -> bool:
    """Whether `logits_layer` finds one."""
    try:
        logits_layer(model)
    except ModelError:
        return False
    return True


def attribute(model: PreTrainedModel, module: nn.Module) -> str:
    """The place of a part in a model as Python writes it, such as `.classifier[1]`."""
    name = next(name for name, candidate in model.named_modules() if candidate is module)
    return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split("."))


def module_pattern(model: PreTrainedModel, names: list[str]) -> str | list[str]:
    """A regular expression for the full names of all Linear layers of these names, or the names where none is exact.

    PEFT takes either for its `target_modules`.
    """
    starts = sorted({re.split(r"\.\d+\.", name)[0] for name in names})
    ends = sorted({name.rpartition(".")[2] for name in names})
    first, last = ("|".join(parts).replace(".", r"\.") for parts in (starts, ends))
    pattern = rf"({first})\.\d+\..*\b({last})"
    found = [name for name, _ in model.named_modules() if re.fullmatch(pattern, name)]
    return pattern if sorted(found) == sorted(names) else names


def parameters(model: PreTrainedModel) -> tuple[int, int]:
    """The number of all parameters, and of the trainable ones."""
    counted = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, _ in counted), sum(size for size, trainable in counted if trainable)


def block_linears(model: PreTrainedModel) -> list[str]:
    """Full names of the Linear layers in the base model's repeated blocks (the members of its ModuleLists).

    GPT-2's `Conv1D` is one of them, its weights transposed.
    """
    import torch
    from transformers import Conv1D

    lists = [name for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)]
    head_prefixes = tuple(f"{name}." for name in head_names(model))
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and any(name.startswith(f"{block}.") for block in lists)
        and not name.startswith(head_prefixes)
    ]


def blocks(model: PreTrainedModel) -> list[str]:
    """Full names of the repeated blocks in the order in which they are registered, from the input to the head.

    They are the members of the outermost ModuleLists of the base model that have weights.
    """
    return [f"{name}.{number}" for name, length in block_lists(model).items() for number in range(length)]


def block_lists(model: PreTrainedModel) -> dict[str, int]:
    """Full name of each list of blocks -> its length."""
    import torch

    lists: list[str] = []
    for name, module in model.named_modules():
        inner = any(name.startswith(f"{outer}.") for outer in lists)
        if isinstance(module, torch.nn.ModuleList) and not inner and any(True for _ in module.parameters()):
            lists.append(name)
    head_prefixes = tuple(f"{name}." for name in head_names(model))
    return {name: len(model.get_submodule(name)) for name in lists if not f"{name}.".startswith(head_prefixes)}


def depths(model: PreTrainedModel) -> dict[str, int]:
    """Parameter -> the number of its block, counted from 1 at the input; 0 for embeddings.

    Parameters between two blocks count as the block before them. What follows the last block (a final norm, a pooler)
    and the head are one deeper than the last block. Embeddings that are registered there (DeBERTa's relative positions)
    are read by all blocks, and count as embeddings.

    Raises:
        ModelError: the model has no repeated blocks.
    """
    import torch

    block_depths = {f"{block}.": depth for block, depth in _block_depths(model).items()}
    if not block_depths:
        raise ModelError(f"{type(model).__name__} has no repeated blocks, so its parameters have no depth")
    last = max(block_depths.values())
    tables = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, torch.nn.Embedding))
    head_prefixes = tuple(f"{name}." for name in head_names(model))
    depth_by_name: dict[str, int] = {}
    passed = 0
    for name, _ in model.named_parameters():
        depth = next((depth for block, depth in block_depths.items() if name.startswith(block)), None)
        passed = max(passed, depth or 0)
        if name.startswith(head_prefixes):
            depth_by_name[name] = last + 1
        elif depth is not None:
            depth_by_name[name] = depth
        elif name.startswith(tables):
            depth_by_name[name] = 0
        else:
            depth_by_name[name] = last + 1 if passed == last else passed
    return depth_by_name


def _block_depths(model: PreTrainedModel) -> dict[str, int]:
    """Block -> its number, counted from 1 at the input.

    Lists of one length under the same parent are parts of the same blocks (SegFormer's embeddings, blocks and norms).
    """
    parallel: dict[tuple[str, int], list[str]] = {}
    for name, length in block_lists(model).items():
        parallel.setdefault((name.rpartition(".")[0], length), []).append(name)
    depth_by_name: dict[str, int] = {}
    passed = 0
    for (_, length), names in parallel.items():
        depth_by_name |= {f"{name}.{number}": passed + number + 1 for name in names for number in range(length)}
        passed += length
    return depth_by_name


def freeze_norm_statistics(model: PreTrainedModel, *, every: bool = False) -> None:
    """Keep the BatchNorms of frozen parts in evaluation mode: their running means are no parameters, and would move.

    Args:
        model: the model; its parameters' `requires_grad` says what is frozen.
        every: also those whose scale and shift are trained, so that these are all that changes.
    """
    import torch

    norms = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d, torch.nn.SyncBatchNorm)
    for module in model.modules():
        frozen = every or not any(parameter.requires_grad for parameter in module.parameters())
        if isinstance(module, norms) and frozen:
            module.eval()
            module.train = partial(_ignore_train, module)


def _ignore_train(module: nn.Module, _mode: bool = True) -> nn.Module:
    """Replaces the `train` method of a module."""
    return module


def unfreeze_norm_statistics(model: PreTrainedModel) -> None:
    """Undo `freeze_norm_statistics`."""
    for module in model.modules():
        module.__dict__.pop("train", None)
