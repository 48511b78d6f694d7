"""Pixel accuracy, 0 to 1: the share of labelled pixels whose class is correct.

High where one class covers most of the images, so `mean_iou` says more. Long et al. 2015,
https://arxiv.org/abs/1411.4038, section 5.
"""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio

_IGNORED = -100


class PixelAccuracy(Additive):
    """Predictions and references are arrays of class numbers, one a pixel, of one shape a row."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """Correct and labelled pixels of each row."""
        pairs = zip(predictions, references, strict=True)
        counts = [[(predicted == actual).sum(), (actual != _IGNORED).sum()] for predicted, actual in pairs]
        return {self.name: np.array(counts)}

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        references: list[object] = [np.array([[0, 1], [1, 1]]), np.array([[0, 0], [1, _IGNORED]])]
        return references, [np.array([[0, 0], [1, 1]]), np.array([[1, 0], [0, 1]])]
