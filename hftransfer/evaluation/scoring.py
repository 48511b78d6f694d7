"""Scores with their bootstrap intervals, and the gate that an exported variant has to pass."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hftransfer.core.results import Score
from hftransfer.metrics import Metric
from hftransfer.tasks import Outputs, Predictions, Side, Task

# Rows of all resamples in memory together, 8 bytes each.
_DRAWN_AT_ONCE = 2**25


@dataclass(frozen=True)
class Answers:
    """What a model answers on the rows of a split, in the rows' own terms."""

    predictions: Predictions
    probabilities: np.ndarray | None
    """Of shape (rows, classes); None where rows have no classes."""

    def select(self, rows: np.ndarray) -> Answers:
        """The answers for some rows, given as a boolean mask or as numbers."""
        return Answers(self.predictions[rows], None if self.probabilities is None else self.probabilities[rows])


def answers(task: Task, outputs: Outputs, side: Side) -> Answers:
    """The answers in a model's outputs for a split."""
    return Answers(task.postprocess(outputs, side), task.probabilities(outputs, side))


@dataclass(frozen=True)
class Scorer:
    """Metrics with their bootstrap: percentile intervals (Efron and Tibshirani 1993, ch. 13)."""

    metrics: list[Metric]
    confidence: float
    resamples: int
    seed: int

    def resample(
        self, answers: Answers, references: Predictions, units: Sequence[Hashable] | None = None
    ) -> dict[str, np.ndarray]:
        """Metric -> its value on all rows, then on each resample of them.

        Rows are sampled with replacement, the same samples for every variant; with `units`, one a row, whole units are.
        """
        values: dict[str, np.ndarray] = {}
        for metric in self.metrics:
            compared = answers.probabilities if metric.needs_probabilities else answers.predictions
            if compared is None:
                raise TypeError(f"'{metric.name}' compares probabilities of classes, and there are none")
            values |= metric.values(compared, references, self._draws(len(references), units))
        return values

    def _draws(self, count: int, units: Sequence[Hashable] | None) -> Iterator[Sequence[np.ndarray]]:
        """Row numbers of each resample, a few resamples at a time."""
        rng, most = np.random.default_rng(self.seed), max(1, _DRAWN_AT_ONCE // count)
        members = _members(units) if units is not None else None
        for done in range(0, self.resamples, most):
            resamples = min(most, self.resamples - done)
            if members is None:
                yield list(rng.integers(0, count, (resamples, count)))
            else:
                draws = rng.integers(0, len(members), (resamples, len(members)))
                yield [np.concatenate([members[unit] for unit in draw]) for draw in draws]

    def interval(self, values: np.ndarray, count: int) -> Score:
        """A score out of its values as `resample` gives them, or as the difference of two of them.

        The samples being the same, the interval of a difference is that of a paired bootstrap (Efron and Tibshirani
        1993, ch. 8).
        """
        tail = 50 * (1 - self.confidence)
        low, high = np.nanpercentile(values[1:], [tail, 100 - tail])
        return Score(value=float(values[0]), low=float(low), high=float(high), count=count)


def _members(units: Sequence[Hashable]) -> list[np.ndarray]:
    """The row numbers of each unit, in the order in which the units first appear."""
    rows: dict[Hashable, list[int]] = {}
    for row, unit in enumerate(units):
        rows.setdefault(unit, []).append(row)
    return [np.array(numbers) for numbers in rows.values()]


def gate(metric: str, drop: Score, max_drop: float) -> str | None:
    """Why an exported variant may not ship; None where it is as good as what was trained."""
    if drop.value <= max_drop:
        return None
    interval = f"[{drop.low:.4f}, {drop.high:.4f}]"
    return f"it loses {drop.value:.4f} {interval} of {metric} on {drop.count} test rows, and max_drop is {max_drop}"


def confusion_matrix(predictions: Predictions, references: Predictions, labels: tuple[str, ...]) -> list[list[int]]:
    """Rows: references, columns: predictions; empty unless each row has one class."""
    from sklearn import metrics

    if predictions.ndim != 1 or predictions.dtype.kind != "i" or not labels:
        return []
    counts: list[list[int]] = metrics.confusion_matrix(references, predictions, labels=[*range(len(labels))]).tolist()
    return counts
