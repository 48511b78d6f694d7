"""A random part of some rows, with every class in proportion: the rows that sklearn's `train_test_split` would take.

Importing sklearn takes a second, and nothing else of it is needed before a run trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def sample(rows: int, count: int, strata: Sequence[Any] | np.ndarray | None, seed: int) -> list[int]:
    """`count` row numbers below `rows`; `strata` gives the class of each row, of which none is alone in its class."""
    rng = np.random.RandomState(seed)
    if strata is None:
        return list(rng.permutation(rows)[:count].tolist())
    _, classes, sizes = np.unique(np.asarray(strata), return_inverse=True, return_counts=True)
    left = _in_proportion(sizes, rows - count, rng)
    taken = _in_proportion(sizes - left, count, rng)
    members = np.split(np.argsort(classes, kind="stable"), np.cumsum(sizes)[:-1])
    return [
        row
        for number, of_class in enumerate(members)
        for row in of_class[rng.permutation(len(of_class))][left[number] :][: taken[number]].tolist()
    ]


def _in_proportion(sizes: np.ndarray, count: int, rng: np.random.RandomState) -> np.ndarray:
    """How many of `count` rows each class gets: its share, rounded so that the sum fits, equal remainders at random."""
    shares = sizes / sizes.sum() * count
    counts = np.floor(shares)
    missing = int(count - counts.sum())
    remainders = shares - counts
    for remainder in np.unique(remainders)[::-1] if missing else ():
        (equal,) = np.where(remainders == remainder)
        chosen = rng.choice(equal, size=min(len(equal), missing), replace=False)
        counts[chosen] += 1
        missing -= len(chosen)
        if not missing:
            break
    return np.asarray(counts, dtype=int)
