"""Area under the ROC curve, 0 to 1: how often a row of a class is ranked above a row of another (ties count half).

0.5 for a model that reads no input, whatever the shares of the classes. Hanley and McNeil 1982,
https://doi.org/10.1148/radiology.143.1.7063747; equal to sklearn's roc_auc_score, macro, where each class has rows.
https://scikit-learn.org/stable/modules/generated/sklearn.metrics.roc_auc_score.html
"""

import numpy as np

from hftransfer.metrics._ranked import Ranked


class RocAuc(Ranked):
    """Area under true positive rate against false positive rate, by trapezoids."""

    def value(self, hits: np.ndarray, misses: np.ndarray) -> float:
        if not hits[-1] or not misses[-1]:
            return float("nan")
        between = (hits + np.append(0, hits[:-1])) / 2
        return float(np.diff(misses, prepend=0) @ between / hits[-1] / misses[-1])
