"""Metrics of ranked retrieval: means over queries, so that a bootstrap resamples sums.

A prediction lists documents, the best first; its reference is the set of those that answer the query. A row whose set
is empty (a further row of the same query) is not counted.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

import numpy as np

from hftransfer.metrics._additive import Additive, ratio

DEPTH = 10
"""Documents of a ranking that are looked at, at most."""


class RankingMetric(Additive, ABC):
    """Implement `score`."""

    @abstractmethod
    def score(self, hits: Sequence[bool], relevant: int) -> float:
        """The value of one query: whether each listed document is relevant, and how many are in the corpus."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """The score of each row and 1; zeros where nothing is relevant."""
        pairs = zip(predictions, references, strict=True)
        return {self.name: np.array([self._row(ranking, relevant) for ranking, relevant in pairs])}

    def _row(self, ranking: Collection[int], relevant: Collection[int]) -> tuple[float, float]:
        if not relevant:
            return 0.0, 0.0
        # A set that is held against itself has no order.
        hits = [document in relevant for document in list(ranking)[:DEPTH]]
        return self.score(hits, len(relevant)), 1.0

    def value(self, sums: np.ndarray) -> np.ndarray:
        """The mean score."""
        return ratio(sums)

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        """Three queries with an answer, the third with two."""
        return [[0], [1], [2, 5]], [[3, 0, 4], [0, 2, 3], [4, 5, 0]]
