"""Matthews correlation of predicted and actual classes, -1 to 1, for which rare classes count as much as common ones.

0 for a model that reads no input, whatever the shares of the classes. Matthews 1975; for several classes Gorodkin 2004,
https://doi.org/10.1016/j.compbiolchem.2004.09.006; equal to sklearn's matthews_corrcoef.
https://scikit-learn.org/stable/modules/generated/sklearn.metrics.matthews_corrcoef.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hftransfer.metrics._additive import Additive
from hftransfer.metrics._class_counts import class_counts, split_counts

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class MatthewsCorrelation(Additive):
    """Correlation coefficient of the confusion matrix."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, csr_array]:
        return {self.name: class_counts(predictions, references)}

    def value(self, sums: np.ndarray) -> np.ndarray:
        correct, predicted, actual = split_counts(sums)
        rows = actual.sum(axis=-1)
        covariance = correct.sum(axis=-1) * rows - (predicted * actual).sum(axis=-1)
        spread = (rows**2 - (predicted**2).sum(axis=-1)) * (rows**2 - (actual**2).sum(axis=-1))
        return np.asarray(np.divide(covariance, np.sqrt(spread), out=np.zeros(rows.shape), where=spread > 0))
