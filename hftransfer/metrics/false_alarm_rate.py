"""False alarm rate, 0 to 1: the share of the rows without a class that are predicted as it (false positive rate).

Fawcett 2006, https://doi.org/10.1016/j.patrec.2005.10.010, section 2.
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics._class_counts import ClassCounts, Counts


class FalseAlarmRate(ClassCounts):
    """(predicted - correct) / rows without the class."""

    lower_is_better: ClassVar[bool] = True

    def fraction(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        others = counts.actual.sum(axis=-1, keepdims=True) - counts.actual
        return counts.predicted - counts.correct, others
