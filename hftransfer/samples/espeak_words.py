"""Numbers, letters and the phonetic alphabet, spoken by many synthetic voices: the source domain of a recorded voice.

Columns: `audio` (WAV, 8,000 Hz, as on the telephone), `text`, `kind` (number, letter, phonetic), `voice`. Splits by
voice, so that no voice that is trained on is tested on. https://github.com/espeak-ng/espeak-ng
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from hftransfer.samples import Sample
from hftransfer.samples._espeak import ACCENTS, VOICES, by_voice, drawn, kept, speak

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

    requires: ClassVar[dict[str, str]] = {"espeakng_loader": "samples", "soundfile": "speech", "soxr": "speech"}

    def rows(self) -> dict[str, Any]:
        """`train` (40 voices), `validation` (12) and `test` (12), each saying each of 115 words."""
        return by_voice(kept("espeak_words", 3, _speech))


def _speech() -> Iterator[dict[str, Any]]:
    draw = np.random.default_rng(0)
    kinds = [(word, kind) for kind, words in WORDS.items() for word in words.split()]
    voices = [f"{accent}+{voice}" for accent in ACCENTS for voice in VOICES]
    order = draw.permutation(len(voices))
    lines = []
    for position, number in enumerate(order):
        split = "train" if position < 40 else "validation" if position < 52 else "test"
        for word, kind in kinds:
            # espeak would read a lone letter as a word, the article "a".
            said = f"{word.upper()}." if kind == "letter" else word
            lines.append((drawn(said, voices[number], draw), {"text": word, "kind": kind, "split": split}))
    for (line, fields), audio in zip(lines, speak([line for line, _ in lines], 8000), strict=True):
        yield {"audio": audio, **fields, "voice": line.voice}
