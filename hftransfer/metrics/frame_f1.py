"""F1 of frames, 0 to 1: of the frames in which a class is active; the mean over the classes (macro), and that of each.

Frames in which nothing is active and nothing is predicted do not count, so that long silence flatters no model; equal
to sklearn's f1_score with `average="macro"` over the frames of all rows, of the classes that are active or predicted.
https://scikit-learn.org/stable/modules/generated/sklearn.metrics.f1_score.html
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics._additive import ratio
from hftransfer.metrics._frames import FrameSums


class FrameF1(FrameSums):
    """2 x correct / (predicted + actual) frames."""

    details_of_classes: ClassVar[bool] = True

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """2 x correct, then predicted + actual frames of each class; of one class by itself the same two sums."""
        pairs = [(a.active, b.active) for a, b in zip(predictions, references, strict=True)]
        correct = np.array([2 * (a & b).sum(axis=0) for a, b in pairs])
        either = np.array([a.sum(axis=0) + b.sum(axis=0) for a, b in pairs])
        of_classes = {
            f"{self.name}.{label}": np.stack([correct[:, number], either[:, number]], axis=1)
            for number, label in enumerate(self.labels if len(self.labels) > 1 else ())
        }
        return {self.name: np.concatenate([correct, either], axis=1)} | of_classes

    def value(self, sums: np.ndarray) -> np.ndarray:
        correct, either = np.split(np.asarray(sums), 2, axis=-1)
        present = (either > 0).sum(axis=-1)
        values = ratio(np.stack([correct, either], axis=-1))
        return np.asarray(values.sum(axis=-1) / np.maximum(present, 1))
