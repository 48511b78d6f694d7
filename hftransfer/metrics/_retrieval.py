"""Recall@k, 0 to 1: the share of queries whose counterpart is among the first k results.

Standard for image-text retrieval, such as Radford et al. 2021 (CLIP), https://arxiv.org/abs/2103.00020, table 13.
"""

from abc import ABC
from typing import ClassVar

import numpy as np

from hftransfer.metrics._additive import Additive, ratio, with_ones

_DEPTHS = (1, 5, 10)


class RecallAtK(Additive, ABC):
    """Predictions are ranks of shape (rows, directions), 0 for the first; references are not looked at.

    The value is Recall@1; `at_5` and `at_10` are details. A bootstrap resamples the queries, and what they are looked
    for in stays the whole split.
    """

    needs_ranks: ClassVar[bool] = True
    details: ClassVar[tuple[str, ...]] = tuple(f"at_{depth}" for depth in _DEPTHS[1:])

    direction: ClassVar[int]
    """The column of the ranks."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """Whether each row's counterpart is among the first.

        Raises:
            ValueError: there are not as many references.
        """
        if len(predictions) != len(references):
            raise ValueError(f"there are {len(predictions)} predictions and {len(references)} references")
        ranks = np.asarray(predictions)[:, self.direction]
        names = (self.name, *(f"{self.name}.{detail}" for detail in self.details))
        return {name: with_ones(ranks < depth) for name, depth in zip(names, _DEPTHS, strict=True)}

    def value(self, sums: np.ndarray) -> np.ndarray:
        """The share."""
        return ratio(sums)

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        """Ranks."""
        return [[0.0, 0.0]] * 4, [[0.0, 1.0], [6.0, 0.0], [1.0, 4.0], [11.0, 12.0]]
