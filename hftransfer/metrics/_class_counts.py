"""Metrics that follow from how often each class is actual, predicted, and predicted correctly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hftransfer.metrics._additive import Additive

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Counts(NamedTuple):
    """Rows of each class, each of shape (..., classes)."""

    correct: np.ndarray
    predicted: np.ndarray
    actual: np.ndarray


def class_counts(predictions: np.ndarray, references: np.ndarray, at_least: int = 0) -> csr_array:
    """What each row adds to `Counts`, one after another, shape (rows, 3 x classes); of at least so many classes.

    Raises:
        ValueError: rows are not class numbers.
    """
    from scipy.sparse import csr_array

    predicted, actual = np.asarray(predictions), np.asarray(references)
    if any(it.ndim != 1 or it.dtype.kind not in "iub" for it in (predicted, actual)):
        raise ValueError("it compares class numbers, one a row")
    size = max(int(predicted.max()), int(actual.max()), at_least - 1) + 1
    rows, correct = np.arange(len(actual)), np.flatnonzero(predicted == actual)
    columns = np.concatenate([actual[correct], size + predicted, 2 * size + actual])
    places = np.concatenate([correct, rows, rows]), columns
    return csr_array((np.ones(len(columns)), places), shape=(len(actual), 3 * size))


def split_counts(sums: np.ndarray) -> Counts:
    """Sums of `class_counts`, shape (..., 3 x classes)."""
    return Counts(*np.split(sums, 3, axis=-1))


class ClassCounts(Additive, ABC):
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
        """Numerator and denominator of each class, shape (..., classes)."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> Mapping[str, np.ndarray | csr_array]:
        """What each row adds to the counts; several labels count as one class."""
        if not self.multilabel:
            return {self.name: class_counts(predictions, references, (self.positive or 0) + 1)}
        predicted, actual = np.asarray(predictions), np.asarray(references)
        return {self.name: np.stack([it.sum(axis=1) for it in (predicted * actual, predicted, actual)], axis=1)}

    def value(self, sums: np.ndarray) -> np.ndarray:
        """The mean of the fractions; NaN of a positive class without rows."""
        counts = split_counts(sums)
        numerator, denominator = self.fraction(counts)
        # 0 where there is nothing to have a share of, as sklearn's zero_division=0.
        values = np.divide(numerator, denominator, out=np.zeros(denominator.shape), where=denominator != 0)
        if self.positive is not None and not self.multilabel:
            return np.where(counts.actual[..., self.positive] > 0, values[..., self.positive], np.nan)
        present = (counts.predicted > 0) | (counts.actual > 0)
        return np.asarray((values * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1))
