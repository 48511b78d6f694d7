"""Nearest neighbours by cosine, exact, some rows at a time."""

from __future__ import annotations

import numpy as np

# Similarities in memory together.
_AT_ONCE = 2**24


def nearest(features: np.ndarray, neighbours: int) -> np.ndarray:
    """The nearest other rows of each row by cosine, the nearest first, shape (rows, neighbours); fewer of few rows.

    Args:
        features: of shape (rows, size).
        neighbours: how many.
    """
    count = min(neighbours, len(features) - 1)
    unit = unit_length(features)
    step = max(1, _AT_ONCE // max(1, len(unit)))
    found = np.empty((len(unit), count), dtype=int)
    for start in range(0, len(unit), step):
        similarities = unit[start : start + step] @ unit.T
        rows = np.arange(len(similarities))
        similarities[rows, start + rows] = -np.inf
        places = np.argpartition(-similarities, count - 1, axis=1)[:, :count] if count else found[start : start + step]
        order = np.argsort(-np.take_along_axis(similarities, places, axis=1), axis=1, kind="stable")
        found[start : start + step] = np.take_along_axis(places, order, axis=1)
    return found


def unit_length(features: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32; a row of zeros stays."""
    lengths = np.linalg.norm(features.astype(np.float32), axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12), dtype=np.float32)
