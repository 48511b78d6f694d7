"""Diarization error rate: missed + false alarm + confused seconds, over those of the reference; 0 is best, no bound.

As NIST's md-eval counts it (https://www.nist.gov/itl/iad/mig/rich-transcription-evaluation): where several are active,
each counts, and `collar` seconds on both sides of every boundary of the reference are not scored (`collar` of
pyannote.metrics is both sides together). Classes have names here, so that no speakers are matched: who is named wrongly
is confused. Of one class (voice activity) it is the detection error rate.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from hftransfer.metrics._additive import ratio
from hftransfer.metrics._frames import FrameSums, Segment


class Der(FrameSums):
    """Seconds of errors over seconds of the reference, overlaps counted for each class."""

    lower_is_better: ClassVar[bool] = True
    details: ClassVar[tuple[str, ...]] = ("missed", "false_alarm", "confusion")

    collar: float = Field(default=0.25, ge=0)
    """Seconds before and after each boundary of a reference that are not scored."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """Seconds of errors, and of the reference, of each row."""
        pairs = zip(predictions, references, strict=True)
        counts = np.array([error_seconds(a.segments, b.segments, self.collar) for a, b in pairs]).reshape(-1, 4)
        parts = {f"{self.name}.{name}": counts[:, [place, 3]] for place, name in enumerate(self.details)}
        return {self.name: np.stack([counts[:, :3].sum(axis=1), counts[:, 3]], axis=1)} | parts

    def value(self, sums: np.ndarray) -> np.ndarray:
        """The ratio; NaN where the reference has nothing that is scored."""
        return np.where(sums[..., 1] > 0, ratio(sums), np.nan)


def error_seconds(
    predicted: tuple[Segment, ...], actual: tuple[Segment, ...], collar: float
) -> tuple[float, float, float, float]:
    """Missed, false alarm and confused seconds of a recording, and the seconds of its reference.

    Between two neighbouring times at which anything begins or ends, the numbers of active classes are constant.
    """
    bounds = [time for it in actual for time in (it.start, it.end)]
    edges = [time for bound in bounds for time in (bound - collar, bound + collar)]
    times = np.unique([*edges, *bounds, *(time for it in predicted for time in (it.start, it.end))])
    if len(times) < 2:
        return 0.0, 0.0, 0.0, 0.0
    middles, lengths = (times[1:] + times[:-1]) / 2, np.diff(times)
    scored = np.ones(len(middles), dtype=bool)
    for bound in bounds if collar else ():
        scored &= np.abs(middles - bound) > collar
    count = 1 + max(it.label for it in (*predicted, *actual))
    found, there = _active(predicted, middles, count), _active(actual, middles, count)
    lengths = lengths * scored
    right, hypotheses, references = (found & there).sum(axis=1), found.sum(axis=1), there.sum(axis=1)
    return (
        float(lengths @ np.maximum(references - hypotheses, 0)),
        float(lengths @ np.maximum(hypotheses - references, 0)),
        float(lengths @ (np.minimum(references, hypotheses) - right)),
        float(lengths @ references),
    )


def _active(segments: tuple[Segment, ...], times: np.ndarray, count: int) -> np.ndarray:
    """Whether each class is active at each time, shape (times, classes)."""
    active = np.zeros((len(times), count), dtype=bool)
    for start, end, label in segments:
        active[np.searchsorted(times, start) : np.searchsorted(times, end), label] = True
    return active
