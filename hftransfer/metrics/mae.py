"""Mean absolute error, 0 or more, in the unit of the label.

https://scikit-learn.org/stable/modules/generated/sklearn.metrics.mean_absolute_error.html
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics._additive import Additive, ratio, with_ones


class Mae(Additive):
    """Mean of |prediction - reference|."""

    lower_is_better: ClassVar[bool] = True

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        return {self.name: with_ones(np.abs(np.subtract(predictions, references)))}

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)
