"""Token F1, 0 to 1, as SQuAD counts it: the F1 of the words that an answer shares with the most similar reference.

Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250, section 6.1.
"""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio
from hftransfer.metrics._squad import answer_f1, as_text


class SquadF1(Additive):
    """Predictions are texts, references lists of the correct answers, empty where there is none."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """The F1 of each answer, and 1."""
        pairs = zip(predictions, references, strict=True)
        return {self.name: np.array([[answer_f1(as_text(text), answers), 1.0] for text, answers in pairs])}

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        return [["Rome"], ["the blue sea"], [], ["two"]], ["rome", "sea", "", "one"]
