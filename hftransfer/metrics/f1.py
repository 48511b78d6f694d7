"""F1, 0 to 1: the harmonic mean of precision and recall; equal to sklearn's f1_score with `zero_division=0`.

https://scikit-learn.org/stable/modules/generated/sklearn.metrics.f1_score.html
"""

import numpy as np

from hftransfer.metrics._class_counts import ClassCounts, Counts


class F1(ClassCounts):
    """2 x correct / (predicted + actual)."""

    def fraction(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        return 2 * counts.correct, counts.predicted + counts.actual
