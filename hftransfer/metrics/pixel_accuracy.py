"""Share of pixels with the right class, 0 to 1; it is high where one class covers most of the images."""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio

_IGNORED = -100


class PixelAccuracy(Additive):
    """Predictions and references are arrays of class numbers, one a pixel, of one shape a row."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """Right and labelled pixels of each row."""
        pairs = zip(predictions, references, strict=True)
        counts = [[(predicted == actual).sum(), (actual != _IGNORED).sum()] for predicted, actual in pairs]
        return {self.name: np.array(counts)}

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        references: list[object] = [np.array([[0, 1], [1, 1]]), np.array([[0, 0], [1, _IGNORED]])]
        return references, [np.array([[0, 0], [1, 1]]), np.array([[1, 0], [0, 1]])]
