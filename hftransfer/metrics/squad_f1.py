"""Token F1, 0 to 1, as SQuAD counts it: the F1 of the words that an answer shares with the most similar reference.

Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250, section 6.1.
"""

from collections.abc import Sequence

from hftransfer.metrics._squad import AnswerScore, answer_f1


class SquadF1(AnswerScore):
    """Mean F1 of the answers."""

    def score(self, prediction: str, answers: Sequence[str]) -> float:
        return answer_f1(prediction, answers)
