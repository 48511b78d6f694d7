"""How SQuAD compares an answer with the true ones: without case, punctuation and articles."""

import re
import string
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence

import numpy as np

from hftransfer.metrics._additive import Additive, ratio, with_ones

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class AnswerScore(Additive, ABC):
    """Implement `score`. Predictions are texts, references lists of the correct answers, empty where there is none."""

    @abstractmethod
    def score(self, prediction: str, answers: Sequence[str]) -> float:
        """How good an answer is, 0 to 1."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """The score of each answer, and 1."""
        pairs = zip(predictions, references, strict=True)
        return {self.name: with_ones(np.array([self.score(as_text(text), answers) for text, answers in pairs]))}

    def value(self, sums: np.ndarray) -> np.ndarray:
        """The mean score."""
        return ratio(sums)

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        """Answers of one question, of two, and of none."""
        return [["Rome"], ["the blue sea", "a lake"], [], ["two"]], ["rome", "lake", "", "one"]


def words(text: str) -> list[str]:
    """The words of an answer that count."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def answer_f1(prediction: str, answers: Sequence[str]) -> float:
    """F1 of the words shared with the most similar true answer; where there is none, 1 for an empty prediction."""
    return max(_f1(words(prediction), words(answer)) for answer in answers or [""])


def is_exact(prediction: str, answers: Sequence[str]) -> bool:
    """Whether the words of a prediction are those of a true answer; no true answer: whether it is empty."""
    return any(words(prediction) == words(answer) for answer in answers or [""])


def as_text(prediction: str | Sequence[str]) -> str:
    """A prediction; of a list of true answers that is held against itself, the first."""
    return prediction if isinstance(prediction, str) else next(iter(prediction), "")


def _f1(predicted: list[str], true: list[str]) -> float:
    if not predicted or not true:
        return float(predicted == true)
    shared = sum((Counter(predicted) & Counter(true)).values())
    return 2 * shared / (len(predicted) + len(true))
