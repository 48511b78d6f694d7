"""Rows unlike the rest, by their features, and rows of an odd length or size: Tukey's outer fences.

Tukey 1977, Exploratory Data Analysis, section 2D: a value is far out beyond three interquartile ranges of a quartile.
"""

from __future__ import annotations

import numpy as np

from hftransfer.evaluation.out_of_domain import NEIGHBOURS, neighbour_distances

_RANGES = 3.0
# Of the logarithm of a size: where all rows are about equal, one of half or twice the size is far out.
_LEAST_RANGE = np.log(2) / _RANGES
# Fewer rows have no usual size.
_FEWEST = 20


def far_out(values: np.ndarray, least_range: float = 0.0) -> np.ndarray:
    """How many interquartile ranges each value lies below the first or above the third quartile, 0 within the fences.

    Below is negative. `least_range` is the least that the range is taken to be.
    """
    if len(values) < _FEWEST:
        return np.zeros(len(values))
    low, high = np.quantile(values, [0.25, 0.75])
    spread = max(high - low, least_range, 1e-12)
    ranges = np.where(values > high, (values - high) / spread, np.minimum((values - low) / spread, 0.0))
    return np.asarray(np.where(np.abs(ranges) > _RANGES, ranges, 0.0))


def unlike_the_rest(features: np.ndarray) -> np.ndarray:
    """By how many interquartile ranges the tenth nearest other row is too far away; 0 where it is not."""
    # Each row is the nearest to itself.
    return np.asarray(np.maximum(far_out(neighbour_distances(features, features, NEIGHBOURS + 1)), 0.0))


def odd_sizes(sizes: np.ndarray) -> np.ndarray:
    """`far_out` of the logarithms of lengths or sizes, shape (rows,)."""
    return far_out(np.log(np.maximum(sizes, 1e-9)), _LEAST_RANGE)
