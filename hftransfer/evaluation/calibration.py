"""Whether a model is right as often as its probabilities say, and the temperature that makes it so."""

import numpy as np

from hftransfer.core.results import Score

BINS = 15
"""Of confidence, as in Guo et al. 2017."""
Curve = list[tuple[float, float, int]]
"""Mean confidence, accuracy and number of rows of each bin that has rows."""

# The logarithm of a temperature is sought between these.
_RANGE = (-3.0, 3.0)
# Resamples of an interval.
_RESAMPLES = 200


def calibration_error(probabilities: np.ndarray, references: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error (ECE): the mean distance of confidence and accuracy over bins of confidence.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3, with their 15 bins, each weighted by its rows.
    `probabilities` has the shape (rows, classes) and sums to 1 by row; `references` are class numbers.
    """
    confidence, right, place = _binned(probabilities, references, bins)
    return _error(right - confidence, place)


def calibration_score(probabilities: np.ndarray, references: np.ndarray, confidence: float, seed: int) -> Score:
    """The calibration error with its bootstrap interval."""
    predicted, right, place = _binned(probabilities, references, BINS)
    gap, rng, count = right - predicted, np.random.default_rng(seed), len(references)
    draws = (rng.integers(0, count, count) for _ in range(_RESAMPLES))
    errors = [_error(gap[draw], place[draw]) for draw in draws]
    low, high = np.percentile(errors, [50 * (1 - confidence), 50 * (1 + confidence)])
    return Score(value=_error(gap, place), low=float(low), high=float(high), count=count)


def reliability(probabilities: np.ndarray, references: np.ndarray) -> Curve:
    """The reliability curve (Niculescu-Mizil and Caruana 2005, https://doi.org/10.1145/1102351.1102430)."""
    confidence, right, place = _binned(probabilities, references, BINS)
    members = [place == number for number in range(BINS)]
    return [(float(confidence[it].mean()), float(right[it].mean()), int(it.sum())) for it in members if it.any()]


def _binned(probabilities: np.ndarray, references: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The confidence of each row, whether it is right, and its bin of confidence."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == references
    return confidence, right, np.minimum((confidence * bins).astype(int), bins - 1)


def _error(gap: np.ndarray, place: np.ndarray) -> float:
    """The calibration error of rows with these gaps of correctness to confidence, in these bins."""
    return float(abs(np.bincount(place, gap)).sum() / len(gap))


def fit_temperature(logits: np.ndarray, references: np.ndarray) -> float:
    """The number by which logits of shape (rows, classes) are divided so that their softmax is calibrated.

    It minimizes the cross-entropy of the rows (Guo et al. 2017, section 4.2). The targets are smoothed by the number of
    rows, as Platt 1999 does, since a few rows that are all right would ask for certainty.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    count, classes = logits.shape
    missed = 1 / (count + 2)
    targets = np.full(logits.shape, missed / (classes - 1))
    targets[np.arange(count), references] = 1 - missed

    def loss(logarithm: float) -> float:
        return float(-(targets * log_softmax(logits.astype(float) / np.exp(logarithm), axis=1)).sum())

    return float(np.exp(minimize_scalar(loss, bounds=_RANGE, method="bounded").x))
