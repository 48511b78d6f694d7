"""Descriptions of pictures read aloud by volunteers: 7,289 recordings in 12 languages, 2.8 hours, with their texts.

Columns: `audio` (OGG, 44,100 Hz), `text` (as it is written), `language` (ClassLabel, codes), `stamp` (the picture, the
same in all languages), `kind` (animals, food, ...). Recordings: fr 927, ru 920, ca 917, ro 915, bg 912, es 890, be 690,
el 659, da 321, nl 67, en 65, ml 6; 1.4 s on average.

From the Debian package tuxpaint-stamps-default, 161 MB (http://www.tuxpaint.org/stamps/; GPL-2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest
from hftransfer.samples import Sample
from hftransfer.samples._debian import TUXPAINT_STAMPS
from hftransfer.samples._tuxpaint import descriptions

if TYPE_CHECKING:
    from datasets import Dataset


class SpokenSentences(Sample):
    """Recorded sentences and their texts."""

    license: ClassVar[str] = "gpl-2.0"
    provenance: ClassVar[str] = "Debian package tuxpaint-stamps-default: the descriptions of the stamps of Tux Paint"
    download_bytes: ClassVar[int] = TUXPAINT_STAMPS.size
    flaws: ClassVar[tuple[str, ...]] = (
        "Speakers are not named, and most languages have one: what tells languages apart may be the voice or the room.",
        "Texts were corrected after some recordings, and numbers are written as digits.",
    )

    languages: list[str] = []
    """Codes of the languages, such as `fr`; left out, all twelve."""

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`, in the order of the pictures; recordings without a text are left out."""
        from datasets import Audio, ClassLabel, Dataset

        found = list(descriptions(self.name))
        spoken = sorted({language for it in found for language in it.recordings.keys() & it.texts.keys()})
        for language in self.languages:
            if language not in spoken:
                raise DataError(
                    f"data.source.options.languages: '{language}' is not spoken; {nearest(language, spoken)}"
                )
        wanted = sorted({*(self.languages or spoken)})
        rows = [
            {
                "audio": {"bytes": None, "path": str(it.recordings[language])},
                "text": it.texts[language],
                "language": language,
                "stamp": it.stamp,
                "kind": it.stamp.partition("/")[0],
            }
            for it in found
            for language in wanted
            if language in it.recordings and language in it.texts
        ]
        table = Dataset.from_list(rows).cast_column("language", ClassLabel(names=wanted))
        return {"train": table.cast_column("audio", Audio(decode=False))}
