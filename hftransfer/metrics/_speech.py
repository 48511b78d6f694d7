"""Synthesized or recorded speech, mel cepstra of its spectrogram, and the alignment of two of them in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Sound = tuple[np.ndarray, int]
"""Samples of shape (time,), float32, and their rate in Hz."""

COEFFICIENTS = 13
"""Mel cepstra that are compared, without the first one, the energy."""
SILENCE = -5.0
"""log10 of amplitudes below which spectrograms differ in nothing that is heard."""


@dataclass(eq=False)
class Speech:
    """One text as it was synthesized, or as it was recorded."""

    spectrogram: np.ndarray
    """log10 of mel amplitudes, float32 of shape (frames, bins)."""
    text: str
    """What is said."""
    step: float
    """Seconds from a frame to the next."""
    sound: Callable[[], Sound]
    """Makes or reads the waveform, which not every metric hears."""
    transcript: str | None = None
    """What a recognizer understood, once it has listened."""


def cepstra(spectrogram: np.ndarray) -> np.ndarray:
    """Mel cepstra 1 to 13 of log10 amplitudes of shape (frames, bins), in units of ln, shape (frames, 13).

    c_m = 2 / K * sum over the K bins of ln(S_k) * cos(pi * m * (k + 1/2) / K), so that ln(S) is c_0 / 2 and the sum of
    c_m * cos(...), as in the mel-generalized cepstra of SPTK.
    """
    from scipy.fft import dct

    logs = np.maximum(np.asarray(spectrogram, dtype=float), SILENCE) * np.log(10)
    made: np.ndarray = dct(logs, type=2, axis=1) / logs.shape[1]
    return made[:, 1 : COEFFICIENTS + 1]


def warping_path(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the cheapest path from the first corner of a matrix of costs to the last.

    Dynamic time warping with the steps (1, 0), (0, 1) and (1, 1), all of the same weight (Sakoe and Chiba 1978,
    https://doi.org/10.1109/TASSP.1978.1163055). Antidiagonals are computed at once.
    """
    rows, columns = costs.shape
    totals = np.full((rows + 1, columns + 1), np.inf)
    totals[0, 0] = 0
    for diagonal in range(rows + columns - 1):
        i = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        j = diagonal - i
        before = np.minimum(np.minimum(totals[i, j + 1], totals[i + 1, j]), totals[i, j])
        totals[i + 1, j + 1] = costs[i, j] + before
    i, j = rows, columns
    path = [(i, j)]
    while (i, j) != (1, 1):
        steps = ((i - 1, j - 1), (i - 1, j), (i, j - 1))
        i, j = min(steps, key=lambda place: totals[place])
        path.append((i, j))
    places: np.ndarray = np.array(path[::-1]) - 1
    return places[:, 0], places[:, 1]


def distortion(predicted: np.ndarray, recorded: np.ndarray) -> float:
    """Mel cepstral distortion of two spectrograms in dB, by `warping_path`; the mean over the recorded frames.

    A frame of the recording counts once, by the mean distance to the frames that are aligned with it: a mean over the
    path would fall where a synthesis that does not end lingers at the frames that it is nearest to.
    """
    from scipy.spatial.distance import cdist

    costs = cdist(cepstra(recorded), cepstra(predicted)) * 10 / np.log(10) * np.sqrt(2)
    rows, columns = warping_path(costs)
    along = costs[rows, columns]
    return float((np.bincount(rows, along) / np.bincount(rows)).mean())


def tiny_speech(levels: list[float], transcript: str = "a word") -> Speech:
    """Frames with a cosine over the bins of these heights, for the tests of the metrics."""
    wave = np.cos(np.pi * (np.arange(20) + 0.5) / 20)
    spectrogram = (np.array(levels)[:, None] * wave).astype(np.float32)
    return Speech(spectrogram, "a word", 0.016, lambda: (np.zeros(1600, np.float32), 16_000), transcript)
