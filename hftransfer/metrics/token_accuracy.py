"""Token accuracy, 0 to 1: the share of the predicted tokens (masked or next ones) that are correct.

Predictions are three numbers a row: (sum of losses, predicted tokens, correct tokens).
https://huggingface.co/docs/transformers/tasks/masked_language_modeling
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics._additive import RowSums, ratio


class TokenAccuracy(RowSums):
    """Correct tokens over tokens, over all rows at once."""

    columns: ClassVar[tuple[int, ...]] = (2, 1)

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)
