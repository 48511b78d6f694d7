"""Metrics of how well the probabilities of a class order the rows: no threshold is chosen."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from hftransfer.metrics._base import Metric, Resampler

_Ranking = tuple[np.ndarray, np.ndarray, np.ndarray]


class Ranked(Metric, ABC):
    """Implement `value`.

    Each class is compared with all others (one against the rest). The metric is the mean over the classes that some
    rows have and some have not (macro), or the value of the positive class; NaN where a probability is NaN.
    """

    needs_probabilities: ClassVar[bool] = True

    positive: int | None = None
    """The number of the positive class; None: the mean over all classes."""

    @abstractmethod
    def value(self, hits: np.ndarray, misses: np.ndarray) -> float:
        """The value of a class; NaN where its rows do not define one.

        `hits` and `misses` count the rows with and without the class above each threshold, from the highest down.
        """

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        """The value of all rows, each once."""
        values = self.resampler(predictions, references)(np.ones((1, len(references)), dtype=int))
        return {name: float(value[0]) for name, value in values.items()}

    def resampler(self, predictions: np.ndarray, references: np.ndarray) -> Resampler:
        """The rows are sorted once for all resamples."""
        probabilities, references = np.asarray(predictions), np.asarray(references)
        if np.isnan(probabilities).any():
            return lambda counts: {self.name: np.full(len(counts), np.nan)}
        classes = [*range(probabilities.shape[1])] if self.positive is None else [self.positive]
        actual = references if references.ndim == 2 else references[:, None] == np.arange(probabilities.shape[1])
        rankings = [_ranking(probabilities[:, number], actual[:, number]) for number in classes]

        def values(counts: np.ndarray) -> dict[str, np.ndarray]:
            each = np.array([[self._class_value(times, ranking) for ranking in rankings] for times in counts])
            defined = ~np.isnan(each)
            with np.errstate(invalid="ignore"):
                means = np.where(defined, each, 0).sum(axis=1) / defined.sum(axis=1)
            return {self.name: means}

        return values

    def _class_value(self, times: np.ndarray, ranking: _Ranking) -> float:
        order, last, actual = ranking
        times = times[order]
        hits = np.cumsum(times * actual)[last]
        return self.value(hits, np.cumsum(times)[last] - hits)


def _ranking(probabilities: np.ndarray, actual: np.ndarray) -> _Ranking:
    """Rows in the order of falling probability, the last place of each probability there, and who has the class."""
    order = np.argsort(-probabilities, kind="stable")
    last = np.flatnonzero(np.append(np.diff(probabilities[order]) != 0, True))
    return order, last, actual[order].astype(int)
