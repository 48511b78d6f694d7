"""Strings of two to five digits by 64 synthetic voices, for speech recognition.

Columns: `audio` (WAV, 8,000 Hz), `text` ("three zero one"), `voice`. Each voice is in one split only.
https://github.com/espeak-ng/espeak-ng
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hftransfer.samples import Sample
from hftransfer.samples._espeak import by_split, cached, sampled_line, speak, voice_splits

if TYPE_CHECKING:
    from datasets import Dataset

_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_STRINGS_A_VOICE = 50


class EspeakDigits(Sample):
    """Strings of digits by synthetic voices."""

    license: ClassVar[str] = "gpl-3.0"
    provenance: ClassVar[str] = "spoken by espeak-ng of the package espeakng-loader"
    flaws: ClassVar[tuple[str, ...]] = ("The voices are synthetic.",)
    requires: ClassVar[dict[str, str]] = {"espeakng_loader": "samples", "soundfile": "speech", "soxr": "speech"}

    def rows(self) -> dict[str, Dataset]:
        """`train` (40 voices), `validation` (12) and `test` (12), 50 strings a voice."""
        return by_split(cached("espeak_digits", 2, _generate))


def _generate() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(1)
    lines, fields = [], []
    for voice, split in voice_splits(rng):
        for _ in range(_STRINGS_A_VOICE):
            text = " ".join(rng.choice(_DIGITS, rng.integers(2, 6)))
            lines.append(sampled_line(text, voice, rng))
            fields.append({"text": text, "split": split, "voice": voice})
    for row, audio in zip(fields, speak(lines, 8000), strict=True):
        yield {"audio": audio, **row}
