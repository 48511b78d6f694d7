"""Accuracy where some classes have no training row, 0 to 1: over all rows, and over both kinds of classes apart.

`seen` and `unseen` are the details; all classes are candidates for every row, as in generalized zero-shot learning
(Xian et al. 2017, https://arxiv.org/abs/1707.00600, section 3.3; there the mean over classes, here that over rows).
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics._additive import Additive, ratio, with_ones


class OpenSetAccuracy(Additive):
    """Share of correct rows."""

    details: ClassVar[tuple[str, ...]] = ("seen", "unseen")

    seen: int | None = None
    """The first so many classes are those of the training rows; None: all are."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        references = np.asarray(references)
        rows = with_ones(np.asarray(predictions) == references)
        seen = references < (references.max() + 1 if self.seen is None else self.seen)
        parts = {"seen": seen, "unseen": ~seen}
        return {self.name: rows} | {
            f"{self.name}.{name}": rows * part[:, None] for name, part in parts.items() if part.any()
        }

    def value(self, sums: np.ndarray) -> np.ndarray:
        """The share; NaN where no row has such a class."""
        return np.where(sums[..., 1] > 0, ratio(sums), np.nan)
