"""Mel cepstral distortion (MCD), 0 or more dB, 0 is best: how far synthesized spectra are from those of a recording.

10 / ln 10 * sqrt(2 * sum over m = 1..13 of (c_m - c'_m)^2) for two frames (Kubichek 1993,
https://doi.org/10.1109/PACRIM.1993.407206), aligned by dynamic time warping; the mean over the frames of a recording,
then over the rows. The cepstra are those of the model's own mel spectrogram, so that values are comparable for one
extractor of spectrograms alone, and not with those by other vocoders' cepstra. Energy, pitch and, by the alignment,
timing do not count: `length_ratio`, predicted over recorded frames of all rows, says whether speech is too short or
does not end. It measures no naturalness: that takes listeners.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hftransfer.metrics._additive import Additive, ratio, with_ones
from hftransfer.metrics._speech import distortion, tiny_speech


class MelCepstralDistortion(Additive):
    """Mean distance of aligned mel cepstra, in dB."""

    lower_is_better: ClassVar[bool] = True
    details: ClassVar[tuple[str, ...]] = ("length_ratio",)

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """The distortion of each row; its predicted and its recorded frames."""
        pairs = [(a.spectrogram, b.spectrogram) for a, b in zip(predictions, references, strict=True)]
        values = np.array([distortion(predicted, recorded) for predicted, recorded in pairs])
        lengths = np.array([(len(predicted), len(recorded)) for predicted, recorded in pairs], dtype=float)
        return {self.name: with_ones(values), f"{self.name}.length_ratio": lengths}

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        """Two recordings, of which one is synthesized with the wrong spectra and the other too long."""
        references = [tiny_speech([0.0, 1.0, 0.5]), tiny_speech([1.0, -1.0])]
        return [*references], [tiny_speech([1.0, 0.0, 0.0]), tiny_speech([0.5, 0.0, 0.0, 0.0])]
