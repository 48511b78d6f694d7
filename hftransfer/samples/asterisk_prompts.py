"""Telephone prompts in five languages, one voice each, some 25 minutes a language, with their transcripts.

Columns: `audio` (WAV, 8,000 Hz), `text` (lower case, letters alone), `transcript` (as it was written, with case, digits
and punctuation), `kind` (number, letter, phonetic, or prompt for all others), `topic` (voicemail, conference, or
other: the part of the telephone system that the file's name begins with). Rows: en 553, es 478, fr 509, it 582, ru 556;
a text may be spoken twice, so that `group: transcript` belongs into a recipe with `by_group`.

From the Debian packages asterisk-core-sounds-LANGUAGE-wav and asterisk-core-sounds-LANGUAGE, about 20 MB a language
(https://www.asterisk.org; CC-BY-SA 3.0, Russian CC-BY 3.0).
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hftransfer.core.media import seconds
from hftransfer.samples import Sample
from hftransfer.samples._debian import DebianPackage

if TYPE_CHECKING:
    from datasets import Dataset

Language = Literal["en", "es", "fr", "it", "ru"]
_VOICES = {
    "en": "en_US_f_Allison",
    "es": "es_MX_f_Allison",
    "fr": "fr_CA_f_June",
    "it": "it_IT_m_Carlo",
    "ru": "ru_RU_f_IvrvoiceRU",
}
_SIZES = {"en": 18_272_864, "es": 23_767_256, "fr": 18_516_060, "it": 18_262_124, "ru": 18_788_860}
_KINDS = {"digits": "number", "letters": "letter", "phonetic": "phonetic"}
_TOPICS = {"vm": "voicemail", "conf": "conference", "confbridge": "conference"}
_SINGLE_WORD = re.compile(r"digits/(h-)?(\d+|.*illion|thousand|hundred)|letters/([a-z]|zed)|phonetic/.*")
_SENTENCE = 3


class AsteriskPrompts(Sample):
    """Recorded prompts and their transcripts."""

    license: ClassVar[str] = "cc-by-sa-3.0"
    provenance: ClassVar[str] = (
        "Debian packages asterisk-core-sounds-LANGUAGE and -wav: Allison Smith (en, es), June Wallack (fr), "
        "Carlo Flora (it), Maxim Topal (ru, CC-BY 3.0)"
    )
    download_bytes: ClassVar[int] = _SIZES["en"]
    flaws: ClassVar[tuple[str, ...]] = (
        "One voice a language; that of en and es is the same.",
        "The column `text` lacks the digits that 48 to 59 prompts of a language speak: `transcript` has them.",
        "Spanish is written without accents.",
    )

    language: Language = "en"
    """What is spoken."""
    subset: Literal["all", "words", "sentences"] = "all"
    """`words`: only the single numbers, letters and words of the phonetic alphabet. `sentences`: only texts of three
    words and more."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Leave longer recordings out."""

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`, in the order of the file names."""
        from datasets import Audio, Dataset

        sounds, texts = self._places()
        rows = []
        for line in gzip.decompress(texts.read_bytes()).decode("utf-8-sig").splitlines():
            name, _, written = line.partition(":")
            file = sounds / f"{name.strip()}.wav"
            # A text in brackets describes a sound.
            spoken = re.sub(r"\[.*?\]|\(.*?\)", " ", written)
            text = " ".join(re.sub(r"[^\w' ]|[\d_]", " ", spoken.lower()).split())
            if not line.startswith(";") and text and file.is_file() and self._wants(name, text):
                kind = _KINDS.get(name.partition("/")[0], "prompt")
                audio = {"bytes": None, "path": str(file)}
                topic = _TOPICS.get(name.partition("-")[0], "other")
                transcript = " ".join(spoken.split())
                rows.append({"audio": audio, "text": text, "transcript": transcript, "kind": kind, "topic": topic})
        if self.max_seconds is not None:
            rows = [row for row in rows if seconds(row["audio"]) <= self.max_seconds]
        return {"train": Dataset.from_list(rows).cast_column("audio", Audio(decode=False))}

    def _wants(self, name: str, text: str) -> bool:
        if self.subset == "words":
            return _SINGLE_WORD.fullmatch(name) is not None
        return self.subset == "all" or len(text.split()) >= _SENTENCE

    def _places(self) -> tuple[Path, Path]:
        """The folder of the recordings, and the file of the texts."""
        sounds = f"usr/share/asterisk/sounds/{_VOICES[self.language]}"
        project = f"asterisk-core-sounds-{self.language}"
        texts = f"usr/share/doc/{project}/core-sounds-{self.language}.txt.gz"
        recordings = DebianPackage(f"{project}-wav", _SIZES[self.language], f"{sounds}/digits")
        return recordings.root(self.name) / sounds, DebianPackage(project, 25_000, texts).path(self.name)
