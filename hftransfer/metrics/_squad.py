"""How SQuAD compares an answer with the true ones: without case, punctuation and articles."""

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


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
