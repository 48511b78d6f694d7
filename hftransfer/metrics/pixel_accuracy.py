"""Pixel accuracy, 0 to 1: the share of labelled pixels whose class is correct.

High where one class covers most of the images, so `mean_iou` says more. Long et al. 2015,
https://arxiv.org/abs/1411.4038, section 5.
"""

import numpy as np

from hftransfer.metrics._additive import ratio
from hftransfer.metrics._pixels import IGNORED, PixelSums


class PixelAccuracy(PixelSums):
    """Correct pixels over labelled pixels."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """Correct and labelled pixels of each row."""
        pairs = zip(predictions, references, strict=True)
        counts = [[(predicted == actual).sum(), (actual != IGNORED).sum()] for predicted, actual in pairs]
        return {self.name: np.array(counts)}

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)
