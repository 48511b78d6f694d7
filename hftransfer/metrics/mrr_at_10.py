"""Mean reciprocal rank at 10, 0 to 1: one over the place of the first document that answers, 0 beyond the tenth.

As MS MARCO counts it, Nguyen et al. 2016, https://arxiv.org/abs/1611.09268.
"""

from collections.abc import Sequence

from hftransfer.metrics._rankings import RankingMetric


class MrrAt10(RankingMetric):
    """Mean of 1 / rank."""

    def score(self, hits: Sequence[bool], relevant: int) -> float:  # noqa: ARG002
        return next((1 / place for place, hit in enumerate(hits, 1) if hit), 0.0)
