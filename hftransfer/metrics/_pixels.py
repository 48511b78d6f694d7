"""Metrics of masks: sums over the pixels of each row."""

from abc import ABC

import numpy as np

from hftransfer.metrics._additive import Additive

IGNORED = -100
"""The class number of pixels in a reference that are not scored."""


class PixelSums(Additive, ABC):
    """Predictions and references are arrays of class numbers, one a pixel, of one shape a row."""

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        """Two masks of two classes, one with a pixel that is not scored."""
        references: list[object] = [np.array([[0, 1], [1, 1]]), np.array([[0, 0], [1, IGNORED]])]
        return references, [np.array([[0, 0], [1, 1]]), np.array([[1, 0], [0, 1]])]
