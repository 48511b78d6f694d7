"""Pearson's correlation of predictions and references; 0 where one of them is constant."""

import numpy as np

from hftransfer.metrics._plain import Plain


class Pearsonr(Plain):
    """Linear correlation."""

    kind = "float64"

    def _compute(self, predictions, references):
        if np.ptp(predictions) == 0 or np.ptp(references) == 0:
            return {"pearsonr": 0.0}
        return {"pearsonr": float(np.corrcoef(predictions, references)[0, 1])}
