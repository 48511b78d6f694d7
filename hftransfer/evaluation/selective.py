"""What a model gains that answers only where it is certain: risk and coverage."""

import numpy as np

from hftransfer.core.results import RiskCoverage
from hftransfer.evaluation.scoring import percentile_interval

# Points of the curve in a record.
_POINTS = 50
# Resamples of an interval.
_RESAMPLES = 200
_ANSWERED = 0.9


def area_under_risk_coverage(confidence: np.ndarray, right: np.ndarray) -> float:
    """AURC, lower is better: the error of the most certain rows, averaged over how many of them are answered.

    Geifman and El-Yaniv 2019, https://arxiv.org/abs/1805.08206, section 2. Both arrays have the shape (rows,).
    """
    return float(np.mean(1 - _accuracies(confidence, right)))


def accuracy_at(confidence: np.ndarray, right: np.ndarray, coverage: float) -> float:
    """The accuracy on the share `coverage` of the rows of which the model is most certain."""
    return float(_accuracies(confidence, right)[_answered(len(right), coverage) - 1])


def risk_coverage(confidence: np.ndarray, right: np.ndarray, level: float, seed: int) -> RiskCoverage:
    """The curve with its area and accuracies, and their bootstrap intervals at the confidence `level`.

    El-Yaniv and Wiener 2010, https://jmlr.org/papers/v11/el-yaniv10a.html. `confidence` is the probability that a row's
    answer is right, `right` whether it is; both of shape (rows,).
    """
    count, rng = len(right), np.random.default_rng(seed)
    draws = [np.arange(count), *(rng.integers(0, count, count) for _ in range(_RESAMPLES))]
    every = [_accuracies(confidence[draw], right[draw]) for draw in draws]
    answered = _answered(count, _ANSWERED)
    ranked = np.sort(confidence)[::-1]
    sizes = np.unique(np.linspace(1, count, min(_POINTS, count)).round().astype(int))
    return RiskCoverage(
        curve=[(float(size / count), float(every[0][size - 1]), float(ranked[size - 1])) for size in sizes],
        aurc=percentile_interval([float(np.mean(1 - it)) for it in every], level, count),
        accuracy=percentile_interval([float(it[-1]) for it in every], level, count),
        accuracy_of_90=percentile_interval([float(it[answered - 1]) for it in every], level, count),
    )


def _accuracies(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The accuracy on the most certain row, on the two most certain ones, and so on, shape (rows,)."""
    order = np.argsort(-confidence, kind="stable")
    return np.cumsum(right[order]) / np.arange(1, len(right) + 1)


def _answered(count: int, coverage: float) -> int:
    """How many rows are answered at a coverage."""
    return max(1, round(coverage * count))
