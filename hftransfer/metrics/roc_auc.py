"""Area under the curve of true against false positive rates: how often a true row is ranked above a false one.

Hanley and McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747; equal to sklearn's roc_auc_score, macro,
where each class has rows.
"""

import numpy as np

from hftransfer.metrics._ranked import Ranked

OF_ONE_CLASS = True


class RocAuc(Ranked):
    """0.5 for a model that looks at no input, whatever the shares of the classes."""

    def value(self, hits, misses):
        """By trapezoids, so that a tie counts for a half."""
        if not hits[-1] or not misses[-1]:
            return np.nan
        between = (hits + np.append(0, hits[:-1])) / 2
        return float(np.diff(misses, prepend=0) @ between / hits[-1] / misses[-1])
