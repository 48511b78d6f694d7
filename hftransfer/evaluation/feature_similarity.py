"""How far a training has moved the features of each block from those of the checkpoint: centred kernel alignment.

Kornblith et al. 2019, https://arxiv.org/abs/1905.00414, with the unbiased estimator of HSIC (Song et al. 2012,
https://jmlr.org/papers/v13/song12a.html, equation 5), since there are fewer rows than features.
"""

from typing import Any

import numpy as np

from hftransfer.data.encode import EncodedSplits, side_of
from hftransfer.models.layers import blocks
from hftransfer.tasks import Task

ROWS = 64
"""Test rows that both models read."""


def feature_similarity(task: Task, before: Any, after: Any, encoded: EncodedSplits) -> list[float]:
    """The similarity of each block's output in two models, 1 where it is the same up to a rotation; empty where the
    two have not the same blocks. A block whose output is the same for all rows is left out.
    """
    names = blocks(before)
    rows = encoded.splits["test"]
    if not names or names != blocks(after) or len(rows) < 4:
        return []
    mine, theirs = (_features(task, model, encoded, names, min(ROWS, len(rows))) for model in (before, after))
    pairs = zip(mine, theirs, strict=True)
    return [
        round(alignment(one, other), 4)
        for one, other in pairs
        if one is not None and other is not None and _varies(one) and _varies(other)
    ]


def _varies(features: np.ndarray) -> bool:
    """Whether rows differ by more than rounding: the first call of a decoder that speaks begins with silence alone."""
    return bool(features.std(axis=0).max() > 1e-4 * np.abs(features).max())


def _features(task: Task, model: Any, encoded: EncodedSplits, names: list[str], count: int) -> list[np.ndarray | None]:
    """For each block, shape (rows, size): its output for a row, the mean over places; None where sizes differ."""
    import torch
    from accelerate.utils import send_to_device

    seen: dict[str, Any] = {}
    hooks = []
    for name in names:

        def look(_module: Any, _args: Any, output: Any, name: str = name) -> None:
            # Of a model that writes on, the first call.
            seen.setdefault(name, output[0] if isinstance(output, tuple) else output)

        hooks.append(model.get_submodule(name).register_forward_hook(look))
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    model.eval()
    with torch.inference_mode():
        for row in range(count):
            seen.clear()
            examples = [encoded.splits["test"][row]]
            task.outputs(model, send_to_device(encoded.collate(examples), model.device), side_of(examples))
            for name, output in seen.items():
                found[name].append(_pooled(output.float().cpu().numpy()))
    for hook in hooks:
        hook.remove()
    return [np.stack(some) if len({it.shape for it in some}) == 1 else None for some in found.values()]


def _pooled(output: np.ndarray) -> np.ndarray:
    """A vector of one row's output: of a picture's channels the mean over places, of tokens the mean over tokens."""
    row = output[0]
    return np.asarray(row.mean(axis=(1, 2)) if row.ndim == 3 else row.mean(axis=0) if row.ndim == 2 else row)


def alignment(one: np.ndarray, other: np.ndarray) -> float:
    """Unbiased linear CKA of two sets of features, shapes (rows, size) with equal rows, at least four."""

    def gram(features: np.ndarray) -> np.ndarray:
        matrix = np.asarray(features.astype(float) @ features.T.astype(float))
        np.fill_diagonal(matrix, 0)
        return matrix

    def hsic(first: np.ndarray, second: np.ndarray) -> float:
        count = len(first)
        whole = first.sum() * second.sum() / ((count - 1) * (count - 2))
        cross = 2 * (first @ second).sum() / (count - 2)
        return float((np.trace(first @ second) + whole - cross) / (count * (count - 3)))

    mine, theirs = gram(one - one.mean(axis=0)), gram(other - other.mean(axis=0))
    scale = hsic(mine, mine) * hsic(theirs, theirs)
    # Features that are the same for all rows are like none but themselves.
    return hsic(mine, theirs) / scale**0.5 if scale > 0 else float(np.array_equal(one, other))
