"""Share of rows that are right; with config `multilabel`, right in every label (sklearn's subset accuracy)."""

import datasets
import evaluate
import numpy as np


class Accuracy(evaluate.Metric):
    """Share of rows that are right."""

    def _info(self):
        value = datasets.Value("int64")
        kind = datasets.List(value) if self.config_name == "multilabel" else value
        features = datasets.Features({"predictions": kind, "references": kind})
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description="class ids, or one 0 or 1 for each label",
            features=features,
        )

    def _compute(self, predictions, references):
        right = np.asarray(predictions) == np.asarray(references)
        return {"accuracy": float(right.reshape(len(right), -1).all(axis=1).mean())}
