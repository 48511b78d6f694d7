"""Average precision, 0 to 1: the mean of the precisions at all thresholds, weighted by the recall that each adds.

Equal to sklearn's average_precision_score, macro, where each class has rows. The share of the class for a model that
reads no input. https://scikit-learn.org/stable/modules/generated/sklearn.metrics.average_precision_score.html
"""

import numpy as np

from hftransfer.metrics._ranked import Ranked


class AveragePrecision(Ranked):
    """Area under the curve of precision against recall, by steps."""

    def value(self, hits: np.ndarray, misses: np.ndarray) -> float:
        if not hits[-1]:
            return float("nan")
        predicted = hits + misses
        precisions = np.divide(hits, predicted, out=np.zeros(len(predicted)), where=predicted > 0)
        return float(np.diff(hits, prepend=0) @ precisions / hits[-1])
