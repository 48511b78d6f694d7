"""What is active when in a recording, as frames and as segments: predictions and references of the frame metrics."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hftransfer.metrics._additive import Additive


class Segment(NamedTuple):
    """A span of a recording in which a class is active, in seconds."""

    start: float
    end: float
    label: int
    """The number of the class."""


@dataclass(frozen=True, eq=False)
class Activity:
    """One recording: what is predicted of it, or its reference."""

    probabilities: np.ndarray
    """Of each class in each frame, float32 of shape (frames, classes); 0 and 1 in a reference."""
    active: np.ndarray
    """Whether each class is active in each frame, bool of shape (frames, classes); several may be."""
    segments: tuple[Segment, ...]
    """The same in seconds; those of a reference as they were annotated, not rounded to frames."""


class FrameSums(Additive, ABC):
    """Metrics of `Activity`, by sums over the frames or the seconds of each row."""

    labels: tuple[str, ...] = ()
    """Names of the classes, by number."""

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        """Two recordings of four seconds, a frame a second."""
        return tiny_rows()


def tiny_rows() -> tuple[list[object], list[object]]:
    """References and mostly wrong predictions of two recordings, for the tests of the metrics."""
    references = [tiny_activity([0, 1, 1, 0]), tiny_activity([1, 1, 0, 0])]
    predictions = [tiny_activity([1, 0, 1, 0]), tiny_activity([0, 0, 0, 1])]
    return [*references], [*predictions]


def tiny_activity(frames: list[int]) -> Activity:
    """One class in frames of a second."""
    active = np.array(frames, dtype=bool)[:, None]
    edges = np.flatnonzero(np.diff(frames, prepend=0, append=0))
    segments = tuple(Segment(float(a), float(b), 0) for a, b in zip(edges[::2], edges[1::2], strict=True))
    return Activity(active.astype(np.float32), active, segments)
