"""Correlation of predicted and true classes, -1 to 1, by which rare classes count as much as common ones; by sklearn.

Matthews 1975, for several classes Gorodkin 2004: https://doi.org/10.1016/j.compbiolchem.2004.09.006
"""

import datasets
import evaluate
from sklearn.metrics import matthews_corrcoef


class MatthewsCorrelation(evaluate.Metric):
    """0 for a model that looks at no input, whatever the shares of the classes."""

    def _info(self):
        value = datasets.Value("int64")
        features = datasets.Features({"predictions": value, "references": value})
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description="class ids", features=features)

    def _compute(self, predictions, references):
        return {"matthews_correlation": float(matthews_corrcoef(references, predictions))}
