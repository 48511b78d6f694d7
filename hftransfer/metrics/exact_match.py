"""Exact match, 0 to 1: the share of answers that equal a reference, ignoring case, punctuation and articles.

Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250, section 6.1; unanswerable questions as in Rajpurkar et al.
2018, https://arxiv.org/abs/1806.03822.
"""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio
from hftransfer.metrics._squad import as_text, is_exact


class ExactMatch(Additive):
    """Predictions are texts, references lists of the correct answers, empty where there is none."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """Whether each answer is exact, and 1."""
        pairs = zip(predictions, references, strict=True)
        return {self.name: np.array([[is_exact(as_text(text), answers), 1] for text, answers in pairs])}

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        return [["Rome"], ["the sea", "a lake"], [], ["two"]], ["rome", "lake", "", "one"]
