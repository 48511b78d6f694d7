"""Exact match, 0 to 1: the share of answers that equal a reference, ignoring case, punctuation and articles.

Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250, section 6.1; unanswerable questions as in Rajpurkar et al.
2018, https://arxiv.org/abs/1806.03822.
"""

from collections.abc import Sequence

from hftransfer.metrics._squad import AnswerScore, is_exact


class ExactMatch(AnswerScore):
    """Share of exact answers."""

    def score(self, prediction: str, answers: Sequence[str]) -> float:
        return float(is_exact(prediction, answers))
