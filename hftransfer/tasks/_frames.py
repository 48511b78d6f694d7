"""Recordings in windows, their frames labelled: what a task with several classes for each frame needs of audio.

A recording has `ceil(duration / step)` frames. Where it is longer than the model reads at once, its frames are parted
into windows of like length. Where a model leaves out the end of a window (the convolutions of wav2vec2 make 49 frames
of a second), the last frame stands for it too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.media import location, open_audio, resample, seconds
from hftransfer.metrics._frames import Activity
from hftransfer.tasks import IGNORED, Encoded, Model, ModelBatch, Processor, Rows, Side, _audio, _segments, stack
from hftransfer.tasks._whisper import set_window

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

DEFAULT_WINDOW = 30
"""Seconds that are read at once by a model that reads recordings of any length, whose memory grows with the square."""


def frame_count(cell: Any, step: float) -> int:
    """Frames of a recording, by the head of its file."""
    return max(1, math.ceil(round(seconds(cell) / step, 4)))


def activities(rows: Rows | Dataset, labels: Sequence[str], step: float) -> list[Activity]:
    """The references of some rows with `audio` and `segments`."""
    found = []
    for audio, cell in zip(rows["audio"], rows["segments"], strict=True):
        segments, count = _segments.numbered(cell, labels), frame_count(audio, step)
        active = _segments.to_frames(segments, count, step, len(labels))
        found.append(Activity(active.astype(np.float32), active, segments))
    return found


def windows(count: int, longest: int) -> list[tuple[int, int]]:
    """The first frame of each window, and the one after its last."""
    edges = np.linspace(0, count, math.ceil(count / longest) + 1).round().astype(int).tolist()
    return list(zip(edges[:-1], edges[1:], strict=True))


def encode(
    recordings: list[Any], active: list[np.ndarray] | None, extractor: Processor, step: float, window: float
) -> Encoded:
    """The windows of some recordings.

    `active` holds whether each class is active in each frame. The arrays of `labels` are flat; `side` holds the number
    of `frames` of a window and the name of the `file`.
    """
    name, rate = extractor.model_input_names[0], extractor.sampling_rate
    inputs: dict[str, list[Any]] = {name: []} | ({} if active is None else {"labels": []})
    side: dict[str, list[Any]] = {"frames": [], "file": []}
    owners = []
    for row, cell in enumerate(recordings):
        samples = resample(*open_audio(location(cell)), rate)
        bounds = windows(frame_count(cell, step), max(1, round(window / step)))
        for place, (first, end) in enumerate(bounds):
            last = len(samples) if place + 1 == len(bounds) else round(end * step * rate)
            inputs[name].append(_audio.features(extractor, samples[round(first * step * rate) : last]))
            if active is not None:
                inputs["labels"].append(active[row][first:end].astype(np.uint8).ravel())
            side["frames"].append(end - first)
            side["file"].append(_file_name(cell))
            owners.append(row)
    fixed = hasattr(extractor, "n_samples")
    return Encoded(inputs, side, owners, None if fixed else [len(array) for array in inputs[name]])


def _file_name(cell: Any) -> str:
    path = cell.get("path") if isinstance(cell, dict) else cell
    return Path(path).stem if isinstance(path, str) else "recording"


def window_of(extractor: Processor, wanted: int | None) -> int:
    """Seconds that are read at once.

    Raises:
        ModelError: the checkpoint reads fewer.
    """
    own = getattr(extractor, "chunk_length", None)
    if own is not None:
        set_window(extractor, wanted)
    return wanted or own or DEFAULT_WINDOW


def label_tensor(labels: list[Any], classes: int) -> Tensor:
    """Flat labels as floats of shape (rows, frames, classes), filled up with what the loss ignores."""
    import torch

    rows = [torch.from_numpy(np.asarray(row).reshape(-1, classes).astype(np.float32)) for row in labels]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED)


def loss(output: Any, labels: Tensor) -> Tensor:
    """Binary cross entropy of each class and frame, the mean over those that are labelled.

    Padding is ignored, and several classes may be active. `labels` has the shape (rows, frames, classes); a model may
    make a frame less, or, of padding, more.
    """
    from torch.nn import functional

    frames = min(labels.shape[1], output.logits.shape[1])
    logits, labels = output.logits[:, :frames].float(), labels[:, :frames]
    labelled = labels != IGNORED
    losses = functional.binary_cross_entropy_with_logits(logits, labels.clamp(min=0), reduction="none")
    return (losses * labelled).sum() / labelled.sum().clamp(min=1)


def logits(model: Model, batch: ModelBatch, name: str, side: Side) -> np.ndarray:
    """Logits of as many frames as each window has, shape (windows, frames, classes), filled up with NaN."""
    rows = _audio.unpadded_logits(model, batch, name)
    return stack([fit_length(row, int(count)) for row, count in zip(rows, side["frames"], strict=True)])


def fit_length(frames: np.ndarray, count: int) -> np.ndarray:
    """The first `count` frames; the last one again where there are fewer."""
    missing = max(0, count - len(frames))
    return np.pad(frames[:count], ((0, missing), (0, 0)), mode="edge")


def joined(windowed: np.ndarray, side: Side) -> list[np.ndarray]:
    """The frames of each recording, out of those of its windows; one frame alone stands for all of its window."""
    rows: dict[int, list[np.ndarray]] = {}
    for number, frames, count in zip(side["row"], windowed, side["frames"], strict=True):
        rows.setdefault(int(number), []).append(fit_length(frames, int(count)))
    return [np.concatenate(rows[number]) for number in sorted(rows)]
