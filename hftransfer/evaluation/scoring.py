"""Scores with their bootstrap intervals, and the gate that an exported variant has to pass."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hftransfer.core.results import Score
from hftransfer.evaluation.resampling import DistinctRows
from hftransfer.metrics import Metric, Resampler
from hftransfer.tasks import Outputs, Predictions, Side, Task


@dataclass(frozen=True)
class Answers:
    """What a model answers on the rows of a split, in the rows' own terms."""

    predictions: Predictions
    probabilities: np.ndarray | None
    """Of shape (rows, classes); None where rows have no classes."""
    ranks: np.ndarray | None = None
    """Of shape (rows, directions); None where rows have no counterparts."""

    def select(self, rows: np.ndarray | slice) -> Answers:
        """The answers for some rows, given as a boolean mask, as numbers, or as a slice."""
        others = (None if array is None else array[rows] for array in (self.probabilities, self.ranks))
        return Answers(self.predictions[rows], *others)


def answers(task: Task, outputs: Outputs, side: Side, references: Predictions) -> Answers:
    """The answers in a model's outputs for a split; a row whose outputs are no numbers is answered wrongly.

    The largest of several NaN is the first class, which would be right by chance.
    """
    is_lost = rows_without_numbers(task, outputs, side, len(references))
    if not is_lost.any():
        return Answers(task.postprocess(outputs, side), task.probabilities(outputs, side), task.ranks(outputs, side))
    lost, inputs = np.flatnonzero(is_lost), is_lost[_rows(side, len(references))]
    numbers = {name: _filled(array, inputs) for name, array in outputs.items()}
    predictions, probabilities = task.postprocess(numbers, side).copy(), task.probabilities(numbers, side)
    for row in lost:
        predictions[row] = task.wrong(references[row], predictions[row])
    if probabilities is not None:
        wrong = predictions[lost]
        probabilities[lost] = wrong if wrong.ndim == 2 else np.eye(probabilities.shape[1])[wrong]
    ranks = task.ranks(numbers, side)
    if ranks is not None:
        ranks[lost] = len(ranks)
    return Answers(predictions, probabilities, ranks)


def rows_without_numbers(task: Task, outputs: Outputs, side: Side, count: int) -> np.ndarray:
    """Whether each of `count` rows has outputs that are NaN or infinite; where NaN fills up rows, all of one array."""
    every = np.all if task.row_target is None else np.any
    lost, rows = np.zeros(count, dtype=bool), _rows(side, count)
    for array in outputs.values():
        if array.dtype.kind == "f" and array[0].size:
            flat = array.reshape(len(array), -1)
            lost[rows[every(np.isnan(flat) | (flat == np.inf), axis=1)]] = True
    return lost


def _rows(side: Side, count: int) -> np.ndarray:
    """The number of the row of each model input."""
    return np.asarray(side["row"]) if "row" in side else np.arange(count)


def _filled(array: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Floats with 0 for some model inputs."""
    if array.dtype.kind != "f":
        return array
    return np.where(inputs.reshape(-1, *[1] * (array.ndim - 1)), array.dtype.type(0), array)


@dataclass(frozen=True)
class Scorer:
    """Metrics with their bootstrap: percentile intervals (Efron and Tibshirani 1993, ch. 13)."""

    metrics: list[Metric]
    confidence: float
    resamples: int
    seed: int

    def resample(
        self, variants: Mapping[str, Answers], references: Predictions, units: Sequence[Hashable] | None = None
    ) -> dict[str, dict[str, np.ndarray]]:
        """Variant -> metric -> its value on all rows, then on each resample of them.

        Rows are sampled with replacement, the same samples for all these variants; with `units`, one a row, whole units
        are.
        """
        compared = [_compared(answers, metric) for answers in variants.values() for metric in self.metrics]
        rows = DistinctRows.of([references, *compared], units)
        resamplers = {
            name: self._resampler(answers.select(rows.first), references[rows.first])
            for name, answers in variants.items()
        }
        parts = {name: [resampler(rows.sizes[None])] for name, resampler in resamplers.items()}
        for counts in rows.resamples(self.resamples, self.seed):
            for name, resampler in resamplers.items():
                parts[name].append(resampler(counts))
        return {name: _concatenated(some) for name, some in parts.items()}

    def _resampler(self, answers: Answers, references: Predictions) -> Resampler:
        """The values of all metrics."""
        resamplers = [metric.of_counts(_compared(answers, metric), references) for metric in self.metrics]
        return lambda counts: {name: it for resampler in resamplers for name, it in resampler(counts).items()}

    def interval(self, values: np.ndarray, count: int) -> Score:
        """A score out of its values as `resample` gives them, or as the difference of two variants' of one call.

        The samples being the same, the interval of a difference is that of a paired bootstrap (Efron and Tibshirani
        1993, ch. 8).
        """
        return percentile_interval(values, self.confidence, count)


def percentile_interval(values: Sequence[float] | np.ndarray, confidence: float, count: int) -> Score:
    """A score out of its value on all `count` rows, which stands first, and its values on resamples of them."""
    tail = 50 * (1 - confidence)
    defined = np.any(~np.isnan(values[1:]))
    low, high = np.nanpercentile(values[1:], [tail, 100 - tail]) if defined else (np.nan, np.nan)
    return Score(value=float(values[0]), low=float(low), high=float(high), count=count)


def _compared(answers: Answers, metric: Metric) -> np.ndarray:
    """What a metric compares with the references."""
    if metric.needs_ranks:
        compared, what = answers.ranks, "ranks"
    elif metric.needs_probabilities:
        compared, what = answers.probabilities, "probabilities of classes"
    else:
        return answers.predictions
    if compared is None:
        raise TypeError(f"'{metric.name}' compares {what}, and there are none")
    return compared


def _concatenated(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The values of all parts under the names of the first; a name that another part lacks is NaN there."""
    lengths = [len(next(iter(part.values()))) for part in parts]
    return {
        name: np.concatenate([part.get(name, np.full(size, np.nan)) for part, size in zip(parts, lengths, strict=True)])
        for name in parts[0]
    }


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
