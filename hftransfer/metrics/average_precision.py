"""Mean of the precisions at the thresholds, each weighted by the recall that it adds; equal to sklearn's, macro,
where each class has rows.

https://scikit-learn.org/stable/modules/generated/sklearn.metrics.average_precision_score.html
"""

import numpy as np

from hftransfer.metrics._ranked import Ranked

OF_ONE_CLASS = True


class AveragePrecision(Ranked):
    """The share of the class for a model that looks at no input."""

    def value(self, hits, misses):
        if not hits[-1]:
            return np.nan
        told = hits + misses
        precisions = np.divide(hits, told, out=np.zeros(len(told)), where=told > 0)
        return float(np.diff(hits, prepend=0) @ precisions / hits[-1])
