"""Coefficient of determination, 1 or less: 1 is perfect, 0 is predicting the mean of the references; by sklearn.

https://scikit-learn.org/stable/modules/generated/sklearn.metrics.r2_score.html
"""

import numpy as np

from hftransfer.metrics import Metric


class RSquared(Metric):
    """Share of the variance explained."""

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        from sklearn.metrics import r2_score

        return {self.name: float(r2_score(references, predictions))}
