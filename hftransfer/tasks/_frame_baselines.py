"""Voice activity without a network: a threshold of the energy, and a logistic regression of log-mel frames.

Both are logistic regressions for each class on what the encoded training rows hold: waveforms, or spectrograms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.tasks import Outputs, Processor, stack
from hftransfer.tasks._frames import fit_length

if TYPE_CHECKING:
    from datasets import Dataset

NAMES = ("energy", "log_mel")
# Frames that are fitted to at most, from all over the training rows.
_MOST_FRAMES = 200_000
_QUIETEST = 1e-10
_BINS = 40


def score(
    name: str, windows: Mapping[str, Dataset], extractor: Processor, step: float, classes: int
) -> dict[str, Outputs]:
    """Logits of a baseline for the encoded windows of all splits but `train`, whose labels it is fitted to."""
    entry = extractor.model_input_names[0]
    features = {
        split: [
            _features(name, np.asarray(row[entry], dtype=np.float32), len(row["labels"]) // classes, extractor, step)
            for row in rows
        ]
        for split, rows in windows.items()
    }
    labels = [np.asarray(row["labels"]).reshape(-1, classes) for row in windows["train"]]
    model = _Regressions(np.concatenate(features.pop("train")), np.concatenate(labels))
    return {split: {"logits": stack([model.logits(it) for it in windows])} for split, windows in features.items()}


class _Regressions:
    """One logistic regression for each class."""

    def __init__(self, features: np.ndarray, labels: np.ndarray) -> None:
        from sklearn.linear_model import LogisticRegression

        every = -(-len(features) // _MOST_FRAMES)
        features, labels = features[::every], labels[::every]
        self._mean, self._deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
        scaled = (features - self._mean) / self._deviation
        self._parts: list[tuple[np.ndarray, float]] = []
        for column in labels.T:
            if column.min() == column.max():
                self._parts.append((np.zeros(features.shape[1]), 10.0 if column[0] else -10.0))
                continue
            fitted = LogisticRegression(C=0.01, max_iter=300).fit(scaled, column)
            self._parts.append((fitted.coef_[0], float(fitted.intercept_[0])))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Of shape (frames, classes)."""
        scaled = (features - self._mean) / self._deviation
        columns = [scaled @ weights + bias for weights, bias in self._parts]
        return np.stack(columns, axis=1).astype(np.float32)


def _features(name: str, array: np.ndarray, count: int, extractor: Processor, step: float) -> np.ndarray:
    """What a baseline reads of a window of `count` frames, shape (frames, size)."""
    mel = fit_length(log_mel(array, extractor, step), count)
    return mel if name == "log_mel" else np.logaddexp.reduce(mel, axis=1)[:, None]


def log_mel(array: np.ndarray, extractor: Processor, step: float) -> np.ndarray:
    """Log-mel frames of a waveform or a spectrogram as the extractor makes it, shape (frames, bins)."""
    return _of_waveform(array, extractor.sampling_rate, step) if array.ndim == 1 else _of_spectrogram(array, extractor)


def _of_waveform(samples: np.ndarray, rate: int, step: float) -> np.ndarray:
    """The logarithm of the power in mel bands, of windows of 25 ms around the middle of each frame."""
    from transformers.audio_utils import mel_filter_bank

    hop, width = round(step * rate), rate // 40
    size = 2 ** (width - 1).bit_length()
    padded = np.pad(samples, (max(0, (width - hop) // 2), width))
    frames = np.lib.stride_tricks.sliding_window_view(padded, width)[:: max(1, hop)]
    power = np.abs(np.fft.rfft(frames * np.hanning(width), size)) ** 2
    filters = mel_filter_bank(size // 2 + 1, _BINS, 0.0, rate / 2, rate)
    return np.asarray(np.log(power @ filters + _QUIETEST), dtype=np.float32)


def _of_spectrogram(array: np.ndarray, extractor: Processor) -> np.ndarray:
    """The mean of the columns that a frame covers: two of Whisper's, whose scale is (log10 + 4) / 4; one of others."""
    if not hasattr(extractor, "n_samples"):
        return array
    bins, columns = array.shape
    return np.asarray((4 * array - 4).reshape(bins, columns // 2, 2).mean(axis=2).T * np.log(10), dtype=np.float32)
