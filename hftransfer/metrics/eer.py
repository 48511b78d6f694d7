"""Equal error rate, 0 to 1: where as many pairs of one identity are refused as pairs of two are accepted, in share.

By linear interpolation between thresholds that are 0.004 apart; 0.5 by chance. ISO/IEC 19795-1, Biometric performance
testing and reporting (https://www.iso.org/standard/73515.html).
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics._additive import Additive
from hftransfer.metrics._similarity_counts import BINS, tiny_counts


class Eer(Additive):
    """The error rate at the threshold where both kinds of errors are equally frequent."""

    lower_is_better: ClassVar[bool] = True

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        return {self.name: np.asarray(predictions)[:, 1:] + np.zeros((len(references), 1))}

    def value(self, sums: np.ndarray) -> np.ndarray:
        own, other = sums[..., :BINS], sums[..., BINS:]
        total_own, total_other = (it.sum(axis=-1, keepdims=True) for it in (own, other))
        with np.errstate(invalid="ignore", divide="ignore"):
            refused = np.concatenate([np.zeros_like(total_own), np.cumsum(own, axis=-1)], axis=-1) / total_own
            accepted = 1 - np.concatenate([np.zeros_like(total_own), np.cumsum(other, axis=-1)], axis=-1) / total_other
        # From -1 at the lowest threshold to 1 beyond the highest one.
        difference = refused - accepted
        after = np.maximum(np.argmax(difference >= 0, axis=-1), 1)[..., None]
        before = after - 1
        low, high = (np.take_along_axis(difference, at, axis=-1) for at in (before, after))
        share = np.divide(-low, high - low, out=np.zeros_like(low), where=high > low)
        start, end = (np.take_along_axis(refused, at, axis=-1) for at in (before, after))
        rate: np.ndarray = (start + share * (end - start))[..., 0]
        return rate

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        return tiny_counts()
