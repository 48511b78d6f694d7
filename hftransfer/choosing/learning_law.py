"""The power law of learning: error(n) = plateau + b n^-c for n labels (Figueroa et al. 2012, Hestness et al. 2017).

Three sizes do not tell a plateau from a slow decline. So each resample draws the plateau anew, from anything
between 0 and the lowest error: the intervals hold both a curve that has ended and one that goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hftransfer.core.results import Score

_RESAMPLES = 2000
_CONFIDENCE = 0.95
# Labels that nobody will collect: a multiple of the largest size.
_NEVER = 1000


@dataclass(frozen=True)
class Law:
    """Curves that agree with the runs, one a resample."""

    plateau: np.ndarray
    """Of shape (resamples,), as the two others."""
    log_b: np.ndarray
    c: np.ndarray
    noise: np.ndarray
    """What one run differs from its curve."""
    runs: int

    def errors(self, labels: float) -> np.ndarray:
        """The error at a number of labels, shape (resamples,)."""
        return np.asarray(self.plateau + np.exp(self.log_b - self.c * np.log(labels)))

    def forecast(self, labels: float) -> Score:
        """The error that one run is expected to have: the median and the interval."""
        return self._score(np.maximum(0, self.errors(labels) + self.noise), self.errors(labels))

    def labels_for(self, gain: float, largest: float) -> Score:
        """How many labels beyond the `largest` lower the error by `gain`; infinite beyond a thousand times as many."""
        target = self.errors(largest) - gain - self.plateau
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            needed = np.exp((self.log_b - np.log(target)) / self.c)
        needed = np.where((target > 0) & (self.c > 0) & (needed < _NEVER * largest), needed - largest, np.inf)
        return self._score(needed, needed)

    def _score(self, spread: np.ndarray, middle: np.ndarray) -> Score:
        tail = (1 - _CONFIDENCE) / 2
        # Between two draws there may be infinity, of which no mean is taken.
        low, high = np.quantile(spread, [tail, 1 - tail], method="nearest")
        return Score(
            value=float(np.quantile(middle, 0.5, method="nearest")), low=float(low), high=float(high), count=self.runs
        )


def fit(labels: Sequence[float], errors: np.ndarray, deviation: float) -> Law:
    """Fit the law to errors of shape (sizes, seeds), by least squares of logarithms on resamples of the seeds.

    Args:
        labels: of each size, rising.
        errors: of the runs; at least three sizes.
        deviation: standard deviation of the error of one run, for want of seeds: of its test rows.
    """
    rng = np.random.default_rng(0)
    sizes, seeds = errors.shape
    means = errors[:, rng.integers(seeds, size=(_RESAMPLES, seeds))].mean(axis=2).T
    if seeds > 1:
        deviation = max(deviation, float(np.sqrt(errors.var(axis=1, ddof=1).mean())))
    else:
        means = np.maximum(1e-9, means + rng.normal(0, deviation, means.shape))
    lowest = means.min(axis=1)
    plateau = rng.random(_RESAMPLES) * lowest
    logs = np.log(np.maximum(means - plateau[:, None], 1e-9))
    x = np.log(np.asarray(labels))
    centred = x - x.mean()
    c = np.maximum(0, -(logs @ centred) / (centred @ centred))
    log_b = logs.mean(axis=1) + c * x.mean()
    return Law(plateau, log_b, c, rng.normal(0, deviation, _RESAMPLES), sizes * seeds)
