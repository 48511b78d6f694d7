"""Pearson's correlation of predictions and references; 0 where one of them is constant."""

import datasets
import evaluate
import numpy as np


class Pearsonr(evaluate.Metric):
    """Linear correlation."""

    def _info(self):
        value = datasets.Value("float64")
        features = datasets.Features({"predictions": value, "references": value})
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description="numbers", features=features)

    def _compute(self, predictions, references):
        if np.ptp(predictions) == 0 or np.ptp(references) == 0:
            return {"pearsonr": 0.0}
        return {"pearsonr": float(np.corrcoef(predictions, references)[0, 1])}
