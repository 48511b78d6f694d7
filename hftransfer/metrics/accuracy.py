"""Share of rows that are right; with config `multilabel`, right in every label (sklearn's subset accuracy)."""

import numpy as np

from hftransfer.metrics._plain import Plain


class Accuracy(Plain):
    """Share of rows that are right."""

    def _compute(self, predictions, references):
        right = np.asarray(predictions) == np.asarray(references)
        return {"accuracy": float(right.reshape(len(right), -1).all(axis=1).mean())}
