"""Spearman's rank correlation of predictions and references, -1 to 1; 0 where either of them is constant.

https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.spearmanr.html
"""

import numpy as np

from hftransfer.metrics import Metric, Resampler


class Spearmanr(Metric):
    """Linear correlation of the ranks, equal values sharing their mean rank."""

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        values = self.resampler(predictions, references)(np.ones((1, len(references))))
        return {name: float(value[0]) for name, value in values.items()}

    def resampler(self, predictions: np.ndarray, references: np.ndarray) -> Resampler:
        """Both are sorted once for all resamples."""
        columns = [_Ranks(np.asarray(values)) for values in (predictions, references)]

        def values(counts: np.ndarray) -> dict[str, np.ndarray]:
            sizes = counts.sum(axis=1, keepdims=True)
            # The mean of ranks does not depend on how they are shared.
            one, other = (ranks.of(counts) - (sizes + 1) / 2 for ranks in columns)
            spread = np.sqrt((counts * one**2).sum(axis=1) * (counts * other**2).sum(axis=1))
            products = (counts * one * other).sum(axis=1)
            return {self.name: np.divide(products, spread, out=np.zeros_like(spread), where=spread > 0)}

        return values


class _Ranks:
    """The ranks of values in resamples of them."""

    def __init__(self, values: np.ndarray) -> None:
        _, self._group = np.unique(values, return_inverse=True)
        self._order = np.argsort(self._group, kind="stable")
        self._starts = np.flatnonzero(np.diff(self._group[self._order], prepend=-1))

    def of(self, counts: np.ndarray) -> np.ndarray:
        """The mean rank of each value, of shape (resamples, values), where each stands so many times."""
        sizes = np.add.reduceat(counts[:, self._order], self._starts, axis=1)
        means: np.ndarray = np.cumsum(sizes, axis=1) - sizes + (sizes + 1) / 2
        return means[:, self._group]
