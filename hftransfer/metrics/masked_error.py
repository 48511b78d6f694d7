"""Mean error of a masked patch or frame, 0 or more, in the unit of the task's reconstruction loss.

Predictions are three numbers a row: (sum of errors, masked places, anything). The loss is that of SimMIM,
https://arxiv.org/abs/2111.09886, for images.
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics._additive import RowSums, ratio


class MaskedError(RowSums):
    """Sum of errors over masked places, over all rows at once."""

    lower_is_better: ClassVar[bool] = True
    columns: ClassVar[tuple[int, ...]] = (0, 1)

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)
