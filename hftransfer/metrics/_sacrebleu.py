"""Metrics of sacrebleu, of the corpus: from the sums of each sentence's n-gram counts."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from hftransfer.metrics._additive import TextSums


class CorpusScore(TextSums, ABC):
    """Implement `scorer`."""

    requires: ClassVar[dict[str, str]] = {"sacrebleu": "text"}

    @abstractmethod
    def scorer(self, references: list[str]) -> Any:
        """The metric of sacrebleu, set up for these references."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """The counts of each row, which sacrebleu's own bootstrap resamples too (sacrebleu/significance.py)."""
        texts = [str(reference) for reference in references]
        counts = self.scorer(texts)._extract_corpus_statistics([str(text) for text in predictions], [texts])
        return {self.name: np.array(counts)}

    def value(self, sums: np.ndarray) -> np.ndarray:
        """The score of each corpus of summed counts."""
        scorer = self.scorer([])
        # sacrebleu writes lengths as whole numbers.
        rows = sums.reshape(-1, sums.shape[-1]).astype(int)
        return np.array([scorer._compute_score_from_stats(row.tolist()).score for row in rows]).reshape(sums.shape[:-1])
