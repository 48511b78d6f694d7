"""Which language is spoken? Trained on one collection of recordings, tested on another, so by other voices.

Columns: `audio` (OGG or WAV of 8,000 to 44,100 Hz, 1.2 s on average), `label` (ClassLabel: ca, da, el, en, fr, ru),
`name` (the picture, or the word's name in English). `train`: 3,809 sentences of the sample `spoken_sentences`, of about
one voice a language (en 65, da 321, the others 659 to 927). `test`: 878 words that volunteers of KDE read for the game
KTuberling.

From the Debian packages tuxpaint-stamps-default and ktuberling-data, 208 MB together (both GPL-2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hftransfer.core import plugins
from hftransfer.samples import Sample
from hftransfer.samples._debian import TUXPAINT_STAMPS, DebianPackage

if TYPE_CHECKING:
    from datasets import Dataset

_LANGUAGES = ("ca", "da", "el", "en", "fr", "ru")
_WORDS = DebianPackage("ktuberling-data", 46_661_752, "usr/share/ktuberling/sounds")


class SpokenLanguages(Sample):
    """Six languages by several voices."""

    license: ClassVar[str] = "gpl-2.0"
    provenance: ClassVar[str] = "Debian packages tuxpaint-stamps-default (train) and ktuberling-data (test)"
    download_bytes: ClassVar[int] = TUXPAINT_STAMPS.size + _WORDS.size
    flaws: ClassVar[tuple[str, ...]] = (
        "Training has about one voice a language, so that a model may learn voices and rooms instead of languages.",
        "Validation rows, taken of the training rows, have the voices of these, and score far better than test rows.",
    )
    requires: ClassVar[dict[str, str]] = {"soundfile": "speech", "soxr": "speech"}

    def rows(self) -> dict[str, Dataset]:
        """`train` and `test`, whose voices differ."""
        sentences = plugins.load("samples", "spoken_sentences")(languages=list(_LANGUAGES)).rows()["train"]
        names = sentences.features["language"].names
        columns = (sentences["audio"][:], sentences["language"][:], sentences["stamp"][:])
        train = [_row(cell["path"], names[label], stamp) for cell, label, stamp in zip(*columns, strict=True)]
        folder = _WORDS.path(self.name)
        test = [
            _row(str(path), language, path.stem)
            for language in _LANGUAGES
            for path in sorted((folder / language).iterdir())
            if path.suffix in (".ogg", ".wav")
        ]
        return {"train": _table(train), "test": _table(test)}


def _row(path: str, language: str, name: str) -> dict[str, Any]:
    return {"audio": {"bytes": None, "path": path}, "label": _LANGUAGES.index(language), "name": name}


def _table(rows: list[dict[str, Any]]) -> Dataset:
    from datasets import Audio, ClassLabel, Dataset

    table = Dataset.from_list(rows).cast_column("label", ClassLabel(names=list(_LANGUAGES)))
    return table.cast_column("audio", Audio(decode=False))
