"""Accuracy, 0 to 1: the share of rows whose prediction is correct.

Where rows have several labels, those that are correct in every label (subset accuracy, sklearn's accuracy_score).
https://scikit-learn.org/stable/modules/generated/sklearn.metrics.accuracy_score.html
"""

import numpy as np

from hftransfer.metrics import Metric


class Accuracy(Metric):
    """Share of correct rows."""

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        correct = np.asarray(predictions) == np.asarray(references)
        return {self.name: float(correct.reshape(len(correct), -1).all(axis=1).mean())}
