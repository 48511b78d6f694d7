"""Coefficient of determination: 1 is perfect, 0 is the mean of the references (sklearn's r2_score)."""

import datasets
import evaluate
from sklearn.metrics import r2_score


class RSquared(evaluate.Metric):
    """Share of the variance explained."""

    def _info(self):
        value = datasets.Value("float64")
        features = datasets.Features({"predictions": value, "references": value})
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description="numbers", features=features)

    def _compute(self, predictions, references):
        return {"r_squared": float(r2_score(references, predictions))}
