"""Numbers, letters and the phonetic alphabet by 64 synthetic voices: a source domain for recorded voices.

Columns: `audio` (WAV, 8,000 Hz, as on the telephone), `text`, `kind` (number, letter, phonetic), `voice`. Each voice is
in one split only. https://github.com/espeak-ng/espeak-ng
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hftransfer.samples import Sample
from hftransfer.samples._espeak import by_split, cached, sampled_line, speak, voice_splits

if TYPE_CHECKING:
    from datasets import Dataset

WORDS = {
    "number": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million "
    "billion first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth fortieth fiftieth sixtieth seventieth "
    "eightieth ninetieth hundredth thousandth millionth billionth",
    "letter": "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "phonetic": "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa "
    "quebec romeo sierra tango uniform victor whiskey xray yankee zulu",
}


class EspeakWords(Sample):
    """Single words by synthetic voices."""

    license: ClassVar[str] = "gpl-3.0"
    provenance: ClassVar[str] = "spoken by espeak-ng of the package espeakng-loader"
    flaws: ClassVar[tuple[str, ...]] = ("The voices are synthetic.",)
    requires: ClassVar[dict[str, str]] = {"espeakng_loader": "samples", "soundfile": "speech", "soxr": "speech"}

    def rows(self) -> dict[str, Dataset]:
        """`train` (40 voices), `validation` (12) and `test` (12), 115 words a voice."""
        return by_split(cached("espeak_words", 4, _generate))


def _generate() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    kinds = [(word, kind) for kind, words in WORDS.items() for word in words.split()]
    lines, fields = [], []
    for voice, split in voice_splits(rng):
        for word, kind in kinds:
            # espeak reads a lone small letter as a word: the article "a".
            text = f"{word.upper()}." if kind == "letter" else word
            lines.append(sampled_line(text, voice, rng))
            fields.append({"text": word, "kind": kind, "split": split, "voice": voice})
    for row, audio in zip(fields, speak(lines, 8000), strict=True):
        yield {"audio": audio, **row}
