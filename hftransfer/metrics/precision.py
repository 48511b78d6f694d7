"""Precision, 0 to 1: the share of the rows predicted as a class that have it; equal to sklearn's precision_score.

https://scikit-learn.org/stable/modules/generated/sklearn.metrics.precision_score.html
"""

import numpy as np

from hftransfer.metrics._class_counts import ClassCounts, Counts


class Precision(ClassCounts):
    """correct / predicted."""

    def fraction(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        return counts.correct, counts.predicted
