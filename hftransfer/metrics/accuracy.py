"""Accuracy, 0 to 1: the share of rows whose prediction is correct.

Where rows have several labels, those that are correct in every label (subset accuracy, sklearn's accuracy_score).
https://scikit-learn.org/stable/modules/generated/sklearn.metrics.accuracy_score.html
"""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio, with_ones


class Accuracy(Additive):
    """Share of correct rows."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        correct = np.asarray(predictions) == np.asarray(references)
        return {self.name: with_ones(correct.reshape(len(correct), -1).all(axis=1))}

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)
