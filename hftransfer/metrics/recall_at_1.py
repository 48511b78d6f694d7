"""Recall at 1, 0 to 1: the share of the documents that answer a query among the first one, mean over queries.

Manning et al. 2008, Introduction to Information Retrieval, section 8.4 (https://nlp.stanford.edu/IR-book/).
"""

from collections.abc import Sequence

from hftransfer.metrics._rankings import RankingMetric


class RecallAt1(RankingMetric):
    """Share of the relevant documents that are found."""

    def score(self, hits: Sequence[bool], relevant: int) -> float:
        return sum(hits[:1]) / relevant
