"""From the probabilities of frames to segments: thresholds, a median filter, shortest segments and gaps.

All of them are fitted to validation rows by the macro F1 of frames: the thresholds exactly, then the filter, then the
shortest gap, then the shortest segment, each only where it raises F1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hftransfer.core.results import JsonObject
from hftransfer.tasks._segments import runs

# Seconds that are tried.
_MEDIANS = (0.06, 0.1, 0.14, 0.22, 0.3, 0.5)
_SHORTEST = (0.06, 0.1, 0.15, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class Decisions:
    """How probabilities become what is active."""

    thresholds: tuple[float, ...]
    """Of each class, the probability above which it is active."""
    median: float = 0.0
    """Seconds of the window of the median filter; 0: none."""
    gap: float = 0.0
    """Shorter pauses, in seconds, within one class are filled."""
    shortest: float = 0.0
    """Shorter segments, in seconds, are removed."""

    def decide(self, probabilities: np.ndarray, step: float) -> np.ndarray:
        """Whether each class is active, bool of the shape of the probabilities, (frames, classes)."""
        active = probabilities > np.asarray(self.thresholds, dtype=np.float32)
        return self.smooth(active, step)

    def smooth(self, active: np.ndarray, step: float) -> np.ndarray:
        """Decisions of single frames after the filter, the gaps and the shortest segments."""
        active = median_filtered(active, round(self.median / step))
        for column in active.T:
            for first, end in runs(~column):
                if first > 0 and end < len(column) and (end - first) * step < self.gap - 1e-9:
                    column[first:end] = True
            for first, end in runs(column):
                if (end - first) * step < self.shortest - 1e-9:
                    column[first:end] = False
        return active


def median_filtered(active: np.ndarray, width: int) -> np.ndarray:
    """Each frame as most of the `width` frames around it are, an even width as the next odd one; at the ends, of those
    that there are."""
    if width < 2:
        return active.copy()
    half = width // 2
    sums = np.cumsum(np.pad(active.astype(int), ((1, 0), (0, 0))), axis=0)
    last = np.minimum(np.arange(len(active)) + half + 1, len(active))
    first = np.maximum(np.arange(len(active)) - half, 0)
    return np.asarray(2 * (sums[last] - sums[first]) > (last - first)[:, None])


def fit(
    probabilities: Sequence[np.ndarray],
    actual: Sequence[np.ndarray],
    step: float,
    thresholds: Sequence[float] | None,
    given: dict[str, float | None],
) -> JsonObject:
    """The fields of the task that hold decisions fitted to some rows, each of shape (frames, classes).

    `given` holds `median`, `gap` and `shortest`; of these and the thresholds, those that are None are fitted.
    """
    every, truth = np.concatenate(probabilities), np.concatenate(actual)
    if thresholds is None:
        thresholds = [best_threshold(every[:, it], truth[:, it]) for it in range(truth.shape[1])]
    thresholds = tuple(thresholds)
    best = Decisions(thresholds, **{name: value or 0.0 for name, value in given.items()})
    raw = [row > np.asarray(thresholds, dtype=np.float32) for row in probabilities]

    def score(decisions: Decisions) -> float:
        return macro_f1(np.concatenate([decisions.smooth(row, step) for row in raw]), truth)

    highest = score(best)
    for name, values in (("median", _MEDIANS), ("gap", _SHORTEST), ("shortest", _SHORTEST)):
        for value in values if given[name] is None else ():
            tried: dict[str, Any] = {name: value}
            candidate = replace(best, **tried)
            if (found := score(candidate)) > highest:
                best, highest = candidate, found
    return {
        "frame_thresholds": [*best.thresholds],
        "median_seconds": best.median,
        "gap_seconds": best.gap,
        "shortest_seconds": best.shortest,
    }


def best_threshold(probabilities: np.ndarray, actual: np.ndarray) -> float:
    """The threshold of the highest F1, between two probabilities that occur; 0.5 where nothing is active."""
    if not actual.any() or np.isnan(probabilities).any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order].astype(float)
    last = np.append(np.diff(ranked) != 0, True)
    correct, predicted = np.cumsum(actual[order]), np.arange(1, len(order) + 1)
    scores = np.where(last, 2 * correct / (predicted + actual.sum()), -1)
    place = int(scores.argmax())
    below = ranked[place + 1] if place + 1 < len(ranked) else 0.0
    return float((ranked[place] + below) / 2)


def macro_f1(predicted: np.ndarray, actual: np.ndarray) -> float:
    """The mean F1 of the classes that are active or predicted, of arrays of shape (frames, classes)."""
    either = predicted.sum(axis=0) + actual.sum(axis=0)
    scores = 2 * (predicted & actual).sum(axis=0) / np.maximum(either, 1)
    return float(scores.sum() / max((either > 0).sum(), 1))
