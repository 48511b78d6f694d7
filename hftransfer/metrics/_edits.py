"""Error rates of transcripts: edits for each unit of the reference, over all rows at once; by jiwer."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from hftransfer.metrics._additive import TextSums, ratio


class ErrorRate(TextSums, ABC):
    """Implement `align`."""

    lower_is_better: ClassVar[bool] = True
    requires: ClassVar[dict[str, str]] = {"jiwer": "speech"}

    @abstractmethod
    def align(self, reference: str, prediction: str) -> Any:
        """jiwer's alignment of a transcript with its reference."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """Insertions, deletions and substitutions of each row, and the units of its reference."""
        pairs = [self.align(reference, text) for text, reference in zip(predictions, references, strict=True)]
        edits = [pair.insertions + pair.deletions + pair.substitutions for pair in pairs]
        lengths = [pair.hits + pair.deletions + pair.substitutions for pair in pairs]
        return {self.name: np.array([edits, lengths]).T}

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Edits over units."""
        return ratio(sums)
