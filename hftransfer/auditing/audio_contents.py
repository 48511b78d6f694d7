"""Near copies of recordings: the correlation of their log-mel spectrograms, one shifted in time against the other.

The mean is taken off, so that a copy which is louder, or compressed, or was cut at one end, is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from hftransfer.auditing.neighbours import nearest
from hftransfer.core.media import location, open_audio, resample

# Hz, mel bands, seconds from frame to frame, and how many frames are compared.
_RATE, _BANDS, _HOP, _FRAMES = 8000, 32, 0.01, 600
_WINDOW = 400
# Decibels below the loudest frame that count as silence.
_FLOOR = 60.0
# How much of the shorter recording has to lie on the other.
_OVERLAP = 0.75
# The correlation from which on two recordings are near copies.
_SAME = 0.95
_NEIGHBOURS = 5


class AudioContents:
    """The log-mel spectrograms of some recordings."""

    def __init__(self, recordings: Iterable[Any]) -> None:
        """Each as `datasets` gives it without decoding, read one by one; of long ones the first six seconds."""
        self._spectra = [_spectrum(recording) for recording in recordings]

    def candidates(self) -> Iterator[tuple[int, int]]:
        """Pairs of recordings of about equal mean spectra and their deviations."""
        means = np.stack([np.concatenate([it.mean(axis=0), it.std(axis=0)]) for it in self._spectra])
        for place, others in enumerate(nearest(means - means.mean(axis=0), _NEIGHBOURS)):
            yield from ((place, int(other)) for other in others)

    def similarity(self, first: int, second: int, distance: float | None) -> float | None:  # noqa: ARG002
        """The correlation of two spectrograms where they fit best; None where they are no near copies."""
        one, other = sorted((self._spectra[first], self._spectra[second]), key=len)
        least = max(2, round(_OVERLAP * len(one)))
        best = 0.0
        for shift in _best_places(one, other):
            start, end = max(0, -shift), min(len(one), len(other) - shift)
            if end - start >= least:
                best = max(best, _correlation(one[start:end], other[start + shift : end + shift]))
        return best if best >= _SAME else None


def _best_places(one: np.ndarray, other: np.ndarray) -> list[int]:
    """The places in the second where the first begins and their products are largest, and 0."""
    size = len(one) + len(other)
    spectra = np.conj(np.fft.rfft(one, size, axis=0)) * np.fft.rfft(other, size, axis=0)
    products = np.fft.irfft(spectra.sum(axis=1), size)
    places = np.argsort(-products)[:_NEIGHBOURS]
    return [0, *(int(shift) if shift < len(other) else int(shift) - size for shift in places)]


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum() / lengths) if lengths > 0 else 0.0


def _spectrum(recording: Any) -> np.ndarray:
    """Decibels over the mean, shape (frames, bands)."""
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    samples, rate = open_audio(location(recording))
    samples = resample(samples[: int(_FRAMES * _HOP * rate)], rate, _RATE)
    filters = mel_filter_bank(_WINDOW // 2 + 1, _BANDS, 60.0, _RATE / 2, _RATE)
    power = spectrogram(
        np.pad(samples, (0, max(0, _WINDOW - len(samples)))),
        window_function(_WINDOW, "hann"),
        frame_length=_WINDOW,
        hop_length=int(_HOP * _RATE),
        power=2.0,
        mel_filters=filters,
    ).T
    decibels = 10 * np.log10(np.maximum(power, 1e-12))
    decibels = np.maximum(decibels, decibels.max() - _FLOOR)
    return np.asarray(decibels - decibels.mean(), dtype=np.float32)
