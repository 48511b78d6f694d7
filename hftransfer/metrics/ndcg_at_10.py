"""NDCG at 10, 0 to 1: the sum of 1 / log2(place + 1) of the relevant documents over the largest possible one.

Normalized discounted cumulative gain, mean over queries.
Järvelin and Kekäläinen 2002, https://doi.org/10.1145/582415.582418, every relevant document having gain 1.
"""

from collections.abc import Sequence
from math import log2

from hftransfer.metrics._rankings import DEPTH, RankingMetric


class NdcgAt10(RankingMetric):
    """Mean of DCG / ideal DCG."""

    def score(self, hits: Sequence[bool], relevant: int) -> float:
        gained = sum(1 / log2(place + 1) for place, hit in enumerate(hits, 1) if hit)
        return gained / sum(1 / log2(place + 1) for place in range(1, min(relevant, DEPTH) + 1))
