"""What a Transformers model is made of: its head, its repeated blocks, its parameters."""

from typing import Any


def head_names(model: Any) -> list[str]:
    """The children outside the base model that hold weights: what a new task trains anew."""
    base = model.base_model
    return [
        name for name, child in model.named_children() if child is not base and any(True for _ in child.parameters())
    ]


def block_linears(model: Any) -> list[str]:
    """Full names of the Linear layers in the base model's repeated blocks (the members of its ModuleLists)."""
    import torch

    lists = [name for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)]
    heads = tuple(f"{name}." for name in head_names(model))
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and any(name.startswith(f"{block}.") for block in lists)
        and not name.startswith(heads)
    ]


def parameters(model: Any) -> tuple[int, int]:
    """Number of all parameters, and of those that train."""
    counted = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, _ in counted), sum(n for n, trains in counted if trains)
