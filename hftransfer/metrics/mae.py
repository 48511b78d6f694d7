"""Mean absolute error, 0 or more, in the unit of the label.

https://scikit-learn.org/stable/modules/generated/sklearn.metrics.mean_absolute_error.html
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics import Metric


class Mae(Metric):
    """Mean of |prediction - reference|."""

    lower_is_better: ClassVar[bool] = True

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {self.name: float(np.abs(np.subtract(predictions, references)).mean())}
