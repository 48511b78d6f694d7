"""Metrics whose value follows from sums over the rows, so that a bootstrap resamples the sums and not the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hftransfer.metrics._base import Metric, Resampler

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Additive(Metric, ABC):
    """Implement `statistics` and `value`."""

    @abstractmethod
    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> Mapping[str, np.ndarray | csr_array]:
        """`self.name` and details -> statistics of shape (rows, n), whose sums over rows `value` takes."""

    @abstractmethod
    def value(self, sums: np.ndarray) -> np.ndarray:
        """The metric, shape (...), of summed statistics, shape (..., n)."""

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        """`value` of the sums over all rows."""
        statistics = self.statistics(predictions, references)
        return {name: float(self.value(rows.sum(axis=0))) for name, rows in statistics.items()}

    def resampler(self, predictions: np.ndarray, references: np.ndarray) -> Resampler:
        """`value` of the sums over each resample."""
        statistics = self.statistics(predictions, references)
        return lambda counts: {name: self.value(counts @ rows) for name, rows in statistics.items()}


class TextSums(Additive, ABC):
    """Rows are texts."""

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        """Two texts."""
        return ["a short text of words"] * 2, ["a text of other things", "a short word"]


class RowSums(Additive, ABC):
    """Predictions are sums over the row already, shape (rows, n); references are not looked at."""

    columns: ClassVar[tuple[int, ...]]
    """Which of the n sums `value` takes."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of the predictions.

        Raises:
            ValueError: there are not as many references.
        """
        if len(predictions) != len(references):
            raise ValueError(f"there are {len(predictions)} predictions and {len(references)} references")
        return {self.name: np.asarray(predictions)[:, list(self.columns)]}

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        """Losses, tokens and correct tokens."""
        return [[1.0, 10, 9], [2.0, 10, 8]], [[30.0, 10, 2], [20.0, 10, 1]]


def with_ones(numbers: np.ndarray) -> np.ndarray:
    """Statistics of a mean, by `ratio`: a number of each row, and 1."""
    return np.stack([numbers, np.ones(len(numbers))], axis=1)


def ratio(sums: np.ndarray) -> np.ndarray:
    """The first sum over the second, 0 where the second is 0."""
    values: np.ndarray = np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] > 0)
    return values
