"""Spans of recordings with labels: as cells of a table give them, as RTTM, drawn over the waveform.

A cell is a list of mappings with `start`, `end` (seconds) and `label`, or a mapping of three such lists; without
`label` every segment is `speech`. RTTM: https://github.com/nryant/dscore#rttm
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.media import location, open_audio
from hftransfer.metrics._frames import Segment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hftransfer.tasks import Processor

UNNAMED = "speech"
"""The class of segments without labels."""
# Annotations are rounded, and resampling moves the end of a recording by a sample.
_SLACK = 0.1
# Of a plot: seconds that are shown, and inches.
_SHOWN, _SIZE = 30.0, (5.2, 1.5)
# Inches of a character of 6 points.
_CHARACTER = 0.045
_COLOURS = ("#0e7c66", "#1d5fbf")

Named = tuple[float, float, str]
"""Start and end in seconds, label."""


def named_segments(cell: Any) -> list[Named]:
    """The segments of a cell, in order of their start.

    Raises:
        ValueError: it holds something else.
    """
    if isinstance(cell, dict) and {"start", "end"} <= cell.keys():
        columns = [cell["start"], cell["end"], cell.get("label") or [UNNAMED] * len(cell["start"])]
        if not all(isinstance(it, list | np.ndarray) and len(it) == len(columns[0]) for it in columns):
            raise ValueError("start, end and label are no lists of one length")
        found = list(zip(*columns, strict=True))
    elif isinstance(cell, list | np.ndarray) and all(
        isinstance(it, dict) and {"start", "end"} <= it.keys() for it in cell
    ):
        found = [(it["start"], it["end"], it.get("label", UNNAMED)) for it in cell]
    else:
        raise ValueError(f"{str(cell)[:60]} is no list of segments with 'start', 'end' and 'label'")
    try:
        return sorted((float(start), float(end), _label(label)) for start, end, label in found)
    except TypeError:
        raise ValueError("a segment has no start or no end, which are numbers of seconds") from None


def _label(label: Any) -> str:
    if label is None or not str(label).strip():
        raise ValueError("a segment has an empty label")
    return str(label)


def fault(cell: Any, duration: float) -> str | None:
    """Why the segments of a recording of so many seconds cannot be used, if so."""
    try:
        segments = named_segments(cell)
    except ValueError as error:
        return f"segments: {error}"
    for start, end, label in segments:
        place = f"the segment '{label}' from {start:g} to {end:g} s"
        if not 0 <= start < end:
            return f"{place} is none: 0 <= start < end is needed"
        if end > duration + _SLACK:
            return f"{place} goes beyond the end of the recording, which lasts {duration:.2f} s"
    return None


def numbered(cell: Any, labels: Sequence[str]) -> tuple[Segment, ...]:
    """The segments of a cell with class numbers, those of one class that touch or overlap as one."""
    joined: list[Segment] = []
    for number, name in enumerate(labels):
        for start, end, _ in (it for it in named_segments(cell) if it[2] == name):
            if joined and joined[-1].label == number and start <= joined[-1].end:
                joined[-1] = joined[-1]._replace(end=max(end, joined[-1].end))
            else:
                joined.append(Segment(start, end, number))
    return tuple(sorted(joined))


def to_frames(segments: Sequence[Segment], count: int, step: float, classes: int) -> np.ndarray:
    """Whether each class is active in the middle of each frame of `step` seconds, bool of shape (count, classes)."""
    active = np.zeros((count, classes), dtype=bool)
    for start, end, label in segments:
        first, last = (max(0, int(np.ceil(time / step - 0.5 - 1e-6))) for time in (start, end))
        active[first:last, label] = True
    return active


def from_frames(active: np.ndarray, step: float) -> tuple[Segment, ...]:
    """The runs of active frames of each class."""
    found = [
        Segment(round(first * step, 6), round(end * step, 6), label)
        for label in range(active.shape[1])
        for first, end in runs(active[:, label])
    ]
    return tuple(sorted(found))


def runs(active: np.ndarray) -> list[tuple[int, int]]:
    """The first frame of each run of active frames, and the one after its last."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def rttm(segments: Sequence[Segment], labels: Sequence[str], name: str) -> str:
    """The lines of an RTTM file of a recording; spaces in names become `_`, since the columns are parted by spaces."""

    def word(text: str) -> str:
        return "_".join(text.split()) or "_"

    return "".join(
        f"SPEAKER {word(name)} 1 {start:.3f} {end - start:.3f} <NA> <NA> {word(labels[label])} <NA> <NA>\n"
        for start, end, label in segments
    )


def describe(segments: Sequence[Segment], labels: Sequence[str]) -> str:
    """The segments in words."""
    return ", ".join(f"{labels[label]} {start:.2f}-{end:.2f}" for start, end, label in segments) or "nothing"


def plot(cell: Any, rows: Mapping[str, Sequence[Segment]], labels: Sequence[str]) -> str:
    """The waveform of a recording with bars for the segments of each entry of `rows` below it: a PNG, as base64."""
    from matplotlib.figure import Figure

    samples, rate = open_audio(location(cell))
    samples = samples[: round(_SHOWN * rate)]
    figure = Figure(figsize=_SIZE)
    wave, bars = figure.subplots(2, 1, sharex=True, height_ratios=[2, max(1, 0.5 * len(labels))])
    every = max(1, len(samples) // 2000)
    wave.plot(np.arange(len(samples))[::every] / rate, samples[::every], color="#7b8794", linewidth=0.4)
    wave.set_yticks([])
    _bars(bars, rows, labels)
    bars.set_xlim(0, len(samples) / rate)
    bars.set_xlabel("seconds", fontsize=6)
    for axes in (wave, bars):
        axes.tick_params(labelsize=6, length=2)
        axes.spines[["top", "right", "left"]].set_visible(False)
    # A layout that is solved for each picture takes as long as to draw it.
    longest = max((len(f"{name}: {label}") for name in rows for label in labels), default=0)
    # A name that is longer than half of the picture is cut.
    left = min(0.02 + longest * _CHARACTER / _SIZE[0], 0.5)
    figure.subplots_adjust(left=left, right=0.98, bottom=0.28, top=0.97, hspace=0.1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _bars(axes: Axes, rows: Mapping[str, Sequence[Segment]], labels: Sequence[str]) -> None:
    names: list[str] = []
    for number, label in enumerate(labels):
        for colour, (name, segments) in zip(_COLOURS, rows.items(), strict=False):
            spans = [(it.start, it.end - it.start) for it in segments if it.label == number]
            axes.broken_barh(spans, (len(names) - 0.4, 0.8), facecolors=colour)
            names.append(f"{name}: {label}")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def frame_step(extractor: Processor, config: Any) -> float:
    """Seconds from one output frame of a model to the next: 0.02 of wav2vec2 and of Whisper.

    Whisper's second convolution halves the frames of its spectrogram (Radford et al. 2022, section 2.2).
    """
    rate: int = extractor.sampling_rate
    if hasattr(config, "inputs_to_logits_ratio"):
        return float(config.inputs_to_logits_ratio / rate)
    return float(2 * extractor.hop_length / rate)
