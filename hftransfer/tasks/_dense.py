"""The family of the tasks with a class for each place of a row: a pixel, a token, a frame."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from hftransfer.tasks import IGNORED, Predictions, Task


class Dense(Task):
    """Adds errors by place, and what follows from how often each class occurs. References are arrays of numbers."""

    def error(self, prediction: np.ndarray, reference: np.ndarray) -> float:
        """Share of the labelled places that are wrong."""
        labelled = reference != IGNORED
        return float((prediction != reference)[labelled].sum() / max(labelled.sum(), 1))

    def wrong(self, reference: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        """The next class of each place."""
        return np.where(reference == IGNORED, 0, (reference + 1) % len(self.labels))

    def most_common(self, references: Predictions) -> int:
        """The number of the class that most places have."""
        counts: Counter[int] = Counter()
        for reference in references:
            counts.update(reference[reference != IGNORED].ravel().tolist())
        return counts.most_common(1)[0][0]

    def metric_options(self) -> dict[str, Any]:
        return {"labels": self.labels}

    def describe(self, value: Any) -> str:
        """The share of each class, the largest first."""
        numbers, counts = np.unique(value[value != IGNORED], return_counts=True)
        shares = sorted(zip(counts / max(counts.sum(), 1), numbers, strict=True), reverse=True)
        return ", ".join(f"{self.labels[number]} {share:.0%}" for share, number in shares)
