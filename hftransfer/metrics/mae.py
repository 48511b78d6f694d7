"""Mean absolute error, in the unit of the label; lower is better."""

import datasets
import evaluate
import numpy as np

LOWER_IS_BETTER = True


class Mae(evaluate.Metric):
    """Mean absolute error."""

    def _info(self):
        value = datasets.Value("float64")
        features = datasets.Features({"predictions": value, "references": value})
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description="numbers", features=features)

    def _compute(self, predictions, references):
        return {"mae": float(np.abs(np.subtract(predictions, references)).mean())}
