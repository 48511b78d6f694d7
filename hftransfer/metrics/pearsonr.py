"""Pearson's correlation of predictions and references, -1 to 1; 0 where either of them is constant.

https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.pearsonr.html
"""

import numpy as np

from hftransfer.metrics import Metric


class Pearsonr(Metric):
    """Linear correlation."""

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        if np.ptp(predictions) == 0 or np.ptp(references) == 0:
            return {self.name: 0.0}
        return {self.name: float(np.corrcoef(predictions, references)[0, 1])}
