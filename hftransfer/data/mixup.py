"""Two training rows in one, and both their labels in the loss: mixup and cutmix, as hooks of the model that trains.

Random numbers come from torch's generator, whose state a resumed training restores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import RecipeError
from hftransfer.tasks import Task

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def _mixup(inputs: torch.Tensor, order: torch.Tensor) -> tuple[torch.Tensor, float]:
    """A weighted mean of the two, the weight of Beta(0.2, 0.2).

    Zhang et al. 2018, https://arxiv.org/abs/1710.09412, section 3.2.
    """
    import torch

    share = float(torch.distributions.Beta(0.2, 0.2).sample())
    return share * inputs + (1 - share) * inputs[order], share


def _cutmix(inputs: torch.Tensor, order: torch.Tensor) -> tuple[torch.Tensor, float]:
    """A rectangle of the one in the other, its area uniform.

    Yun et al. 2019, https://arxiv.org/abs/1905.04899, section 3.1.
    """
    import torch

    height, width = inputs.shape[-2:]
    area, down, right = torch.rand(3).tolist()
    high, wide = round(height * area**0.5), round(width * area**0.5)
    top, left = round(down * (height - high)), round(right * (width - wide))
    mixed = inputs.clone()
    mixed[..., top : top + high, left : left + wide] = inputs[order][..., top : top + high, left : left + wide]
    return mixed, 1 - high * wide / (height * width)


Mix = Callable[["torch.Tensor", "torch.Tensor"], tuple["torch.Tensor", float]]
MIXES: dict[str, Mix] = {"mixup": _mixup, "cutmix": _cutmix}
INPUTS = ("pixel_values", "input_values", "input_features")


def mixup_operations(task: Task, wanted: str | list[str]) -> list[str]:
    """Which mixes of the wanted operations a training makes, one of them a batch.

    Raises:
        RecipeError: the rows have not one class each.
    """
    names = [name for name in task.mixes if name in wanted and not isinstance(wanted, str)]
    if names and not task.single_label:
        raise RecipeError(f"data.augment: {names[0]} mixes rows of one class each, and these have none")
    return names


def install_mixup(task: Task, model: PreTrainedModel, wanted: str | list[str]) -> None:
    """Let a model that is about to train see mixed rows, and have the loss of both labels."""
    import torch

    mixes = [MIXES[name] for name in mixup_operations(task, wanted)]
    if not mixes:
        return
    made: list[tuple[Any, float]] = []

    def before(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        key = next((name for name in INPUTS if name in kwargs), None)
        if not module.training or key is None or kwargs.get("labels") is None:
            return None
        order = torch.randperm(len(kwargs["labels"])).to(kwargs["labels"].device)
        chosen = mixes[int(torch.randint(len(mixes), ()))]
        mixed, share = chosen(kwargs[key], order)
        made.append((order, share))
        mask = kwargs.get("attention_mask")
        seen = {} if mask is None else {"attention_mask": torch.maximum(mask, mask[order])}
        return args, kwargs | {key: mixed} | seen

    def after(_module: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        if made:
            (order, share), labels = made.pop(), kwargs["labels"]
            mine, theirs = (torch.nn.functional.cross_entropy(output.logits, it) for it in (labels, labels[order]))
            output.loss = share * mine + (1 - share) * theirs
        return output

    model.register_forward_pre_hook(before, with_kwargs=True)
    model.register_forward_hook(after, with_kwargs=True)
