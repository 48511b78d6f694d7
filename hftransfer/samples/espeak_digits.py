"""Strings of two to five digits, spoken by many synthetic voices, for speech recognition.

Columns: `audio` (WAV, 8,000 Hz), `text` ("three oh one"), `voice`. Splits by voice, so that no voice that is trained on
is tested on. https://github.com/espeak-ng/espeak-ng
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from hftransfer.samples import Sample
from hftransfer.samples._espeak import ACCENTS, VOICES, by_voice, drawn, kept, speak

_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_EACH = 50


class EspeakDigits(Sample):
    """Strings of digits by synthetic voices."""

    requires: ClassVar[dict[str, str]] = {"espeakng_loader": "samples", "soundfile": "speech", "soxr": "speech"}

    def rows(self) -> dict[str, Any]:
        """`train` (40 voices), `validation` (12) and `test` (12), each voice saying 50 strings."""
        return by_voice(kept("espeak_digits", 1, _speech))


def _speech() -> Iterator[dict[str, Any]]:
    draw = np.random.default_rng(1)
    voices = [f"{accent}+{voice}" for accent in ACCENTS for voice in VOICES]
    lines = []
    for position, number in enumerate(draw.permutation(len(voices))):
        split = "train" if position < 40 else "validation" if position < 52 else "test"
        for _ in range(_EACH):
            text = " ".join(draw.choice(_DIGITS, draw.integers(2, 6)))
            lines.append((drawn(text, voices[number], draw), {"text": text, "split": split}))
    for (line, fields), audio in zip(lines, speak([line for line, _ in lines], 8000), strict=True):
        yield {"audio": audio, **fields, "voice": line.voice}
