"""Mean intersection over union, 0 to 1, of the classes that occur, and that of each class; pixels of a whole split.

As PASCAL VOC scores segmentation, Everingham et al. 2015, https://doi.org/10.1007/s11263-014-0733-5, section 4.2.
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics._pixels import IGNORED, PixelSums


class MeanIou(PixelSums):
    """Mean over the classes of intersection over union."""

    details_of_classes: ClassVar[bool] = True

    labels: tuple[str, ...] = ()
    """Names of the classes, by number."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """Pixels in the intersection, then in the union, of each class."""
        size = len(self.labels) or 1 + int(max(np.max(mask) for mask in (*predictions, *references)))
        counts = np.array([_counts(*pair, size) for pair in zip(predictions, references, strict=True)])
        names = dict(enumerate(self.labels))
        of_classes = {f"{self.name}.{names.get(i, i)}": counts[:, :, i] for i in range(size)}
        return {self.name: counts.reshape(len(counts), -1)} | of_classes

    def value(self, sums: np.ndarray) -> np.ndarray:
        """The mean over classes with pixels; NaN where no class has any."""
        shared, either = np.split(sums.astype(float), 2, axis=-1)
        iou = np.divide(shared, either, out=np.full(shared.shape, np.nan), where=either > 0)
        present = (either > 0).sum(axis=-1)
        undefined = np.full(present.shape, np.nan)
        return np.asarray(np.divide(np.nansum(iou, axis=-1), present, out=undefined, where=present > 0))


def _counts(predicted: np.ndarray, actual: np.ndarray, size: int) -> np.ndarray:
    """Pixels in the intersection and in the union of each class, shape (2, classes)."""
    labelled = actual != IGNORED
    predicted, actual = predicted[labelled], actual[labelled]
    shared = np.bincount(actual[predicted == actual], minlength=size)
    return np.stack([shared, np.bincount(predicted, minlength=size) + np.bincount(actual, minlength=size) - shared])
