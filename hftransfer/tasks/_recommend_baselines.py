"""Baselines of recommendation, which read interactions alone: no text, no network.

Each ranks all items for a user by a product: the items that the user liked, times a matrix of items with items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.errors import RecipeError
from hftransfer.tasks._recommend_rows import best
from hftransfer.tasks._types import Outputs

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NAMES = ("popularity", "item_knn", "ease")
EASE_LAMBDA = 500.0
"""The ridge of EASE; 500 as Steck 2019 (https://arxiv.org/abs/1905.03375, section 4) found for MovieLens 20M."""
NEIGHBOURS, SHRINKAGE = 50, 20.0
"""Of item-kNN: the neighbours of an item, and what is added to the denominator of a cosine, so that items of few users
have low ones (Ferrari Dacrema et al. 2019, https://arxiv.org/abs/1907.06902, section 3.2)."""
# Items of which a dense matrix of items with items is made, at most: 800 MB.
_MOST = 10_000
# Rows that are scored at once.
_AT_ONCE = 512

Lists = Sequence[Sequence[int]]
"""The item numbers of each row."""


def outputs(name: str, train: Lists, queries: Lists, known: Lists, items: int) -> Outputs:
    """The rankings of a baseline, as `best` gives them.

    Args:
        name: One of `NAMES`.
        train: All items that each training row holds.
        queries: The items that each scored row has liked.
        known: The items of each scored row that are not ranked.
        items: How many there are.
    """
    matrix = interactions(train, items)
    if name == "popularity":
        popular = np.asarray(matrix.sum(axis=0), dtype=np.float32)
        return best(np.repeat(popular[None], len(queries), axis=0), known)
    if items > _MOST:
        raise RecipeError(
            f"evaluation.baselines: {name} takes a matrix of items with items, and {items:,} are more than {_MOST:,}; "
            "leave it out: [popularity]"
        )
    weights = ease(matrix) if name == "ease" else item_knn(matrix)
    liked = interactions(queries, items)
    parts = [
        best(liked[start : start + _AT_ONCE] @ weights, known[start : start + _AT_ONCE])
        for start in range(0, len(queries), _AT_ONCE)
    ]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def interactions(rows: Lists, items: int) -> csr_array:
    """1 where a row holds an item, shape (rows, items)."""
    from scipy.sparse import csr_array

    columns = [sorted({*numbers}) for numbers in rows]
    ends = np.cumsum([0, *map(len, columns)])
    flat = np.array([number for numbers in columns for number in numbers], dtype=np.int64)
    return csr_array((np.ones(len(flat), dtype=np.float32), flat, ends), shape=(len(rows), items))


def ease(matrix: csr_array, ridge: float = EASE_LAMBDA) -> np.ndarray:
    """The weights of EASE, shape (items, items): the least squares that find each item from all others.

    With P the inverse of X'X + ridge, the weight of i for j is -P_ij / P_jj, and 0 of an item for itself (equation 8).
    """
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    inverse = np.linalg.inv(gram + ridge * np.eye(len(gram)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    found: np.ndarray = weights.astype(np.float32)
    return found


def item_knn(matrix: csr_array, neighbours: int = NEIGHBOURS, shrinkage: float = SHRINKAGE) -> np.ndarray:
    """Shrunk cosines of items, shape (items, items); in each column those of the nearest items alone, others are 0."""
    together = (matrix.T @ matrix).toarray().astype(np.float64)
    lengths = np.sqrt(np.diag(together))
    cosines = together / (np.outer(lengths, lengths) + shrinkage)
    np.fill_diagonal(cosines, 0)
    if neighbours < len(cosines):
        least = np.partition(cosines, -neighbours, axis=0)[-neighbours]
        cosines[cosines < least] = 0
    found: np.ndarray = cosines.astype(np.float32)
    return found
