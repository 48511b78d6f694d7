"""Metrics whose value follows from sums over the rows, so that a bootstrap resamples the sums and not the rows."""

from abc import ABC, abstractmethod

import evaluate
import numpy as np
from datasets import Features, List, Value


class Additive(evaluate.Metric, ABC):
    """Base, abstract so that `evaluate` passes it by."""

    words = False
    """Predictions and references are lists of strings, not strings."""

    sums = False
    """Predictions are sums already, lists of numbers, and references are not looked at."""

    def _info(self):
        value = List(Value("float64")) if self.sums else List(Value("string")) if self.words else Value("string")
        features = Features({"predictions": value, "references": value})
        return evaluate.MetricInfo(
            description=self.__doc__, citation="", inputs_description="one entry a row", features=features
        )

    @abstractmethod
    def statistics(self, predictions, references):
        """Name -> counts of shape (rows, n); the first is the metric itself, the others its details."""

    @abstractmethod
    def value(self, sums):
        """Sums of counts, shape (..., n), to values of shape (...)."""

    def weighted(self, predictions, references):
        """A function from `times` (resamples, rows), how often each row is drawn, to name -> a value for each."""
        counts = self.statistics(predictions, references)
        return lambda times: {name: self.value(times @ rows) for name, rows in counts.items()}

    def _compute(self, predictions, references):
        found = self.statistics(predictions, references)
        return {name: float(self.value(counts.sum(axis=0))) for name, counts in found.items()}


def ratio(sums):
    """The first count over the second, 0 where there is nothing to count."""
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] > 0)
