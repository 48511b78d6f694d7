"""Metrics that follow from how often each class is actual, predicted, and predicted correctly."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from hftransfer.metrics._base import Metric


class Counts(NamedTuple):
    """Rows of each class, each of shape (classes,)."""

    correct: np.ndarray
    predicted: np.ndarray
    actual: np.ndarray


class ClassCounts(Metric, ABC):
    """Implement `fraction`.

    The value is the mean of a fraction over the classes that are actual or predicted (macro), the fraction of the
    positive class, or, where rows have several labels, the fraction of all labels together (micro).
    """

    positive: int | None = None
    """The number of the positive class; None: the mean over all classes."""
    multilabel: bool = False
    """Whether a row is a 0 or 1 for each label, not one class number."""

    @abstractmethod
    def fraction(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        """Numerator and denominator of each class, shape (classes,)."""

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        """The mean of the fractions."""
        numerator, denominator = self.fraction(Counts(*self._counts(predictions, references)))
        # 0 where there is nothing to have a share of, as sklearn's zero_division=0.
        values = np.divide(numerator, denominator, out=np.zeros(len(denominator)), where=denominator != 0)
        return {self.name: float(values.mean())}

    def _counts(self, predictions: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Rows predicted correctly, predicted and actual, shape (3, classes); NaN of a positive class without rows."""
        predicted, actual = np.asarray(predictions), np.asarray(references)
        if self.multilabel:
            return np.array([[(predicted * actual).sum()], [predicted.sum()], [actual.sum()]])
        size = max(int(predicted.max()), int(actual.max()), self.positive or 0) + 1
        correct = actual[predicted == actual]
        # 40 times faster than sklearn's, and a bootstrap asks 1000 times.
        counts = np.stack([np.bincount(classes, minlength=size) for classes in (correct, predicted, actual)])
        if self.positive is None:
            return counts[:, counts[1:].any(axis=0)]
        return counts[:, [self.positive]] if counts[2, self.positive] else np.full((3, 1), np.nan)
