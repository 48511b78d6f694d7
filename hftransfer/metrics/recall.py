"""Recall, 0 to 1: the share of the rows of a class that are predicted as it; equal to sklearn's recall_score.

https://scikit-learn.org/stable/modules/generated/sklearn.metrics.recall_score.html
"""

import numpy as np

from hftransfer.metrics._class_counts import ClassCounts, Counts


class Recall(ClassCounts):
    """correct / actual."""

    def fraction(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        return counts.correct, counts.actual
