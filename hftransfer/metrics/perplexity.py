"""Perplexity, 1 or more: the exponential of the mean cross-entropy (natural logarithm) of a predicted token.

Predictions are three numbers a row: (sum of losses, predicted tokens, correct tokens).
https://huggingface.co/docs/transformers/perplexity
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics._additive import RowSums


class Perplexity(RowSums):
    """exp(sum of losses / tokens), over all rows at once."""

    lower_is_better: ClassVar[bool] = True
    columns: ClassVar[tuple[int, ...]] = (0, 1)

    def value(self, sums: np.ndarray) -> np.ndarray:
        values: np.ndarray = np.exp(sums[..., 0] / np.maximum(sums[..., 1], 1))
        return values
