"""English telephone prompts, 568 recordings of one voice, 25 minutes, with their transcripts (CC-BY-SA 3.0).

Columns: `audio` (WAV, 8,000 Hz), `text` (lower case, without punctuation), `kind` (number, letter, phonetic, or prompt
for all others). From the Debian packages asterisk-core-sounds-en-wav and asterisk-core-sounds-en
(https://www.asterisk.org).
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from hftransfer.core.errors import DataError
from hftransfer.samples import Sample

if TYPE_CHECKING:
    from datasets import Dataset

_SOUNDS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
_TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
_KINDS = {"digits": "number", "letters": "letter", "phonetic": "phonetic"}
_SINGLE_WORD = re.compile(r"digits/(h-)?(\d+|.*illion|thousand|hundred)|letters/([a-z]|zed)|phonetic/.*")


class AsteriskPrompts(Sample):
    """Recorded prompts and their transcripts."""

    license: ClassVar[str] = "cc-by-sa-3.0"
    provenance: ClassVar[str] = "Debian packages asterisk-core-sounds-en-wav and asterisk-core-sounds-en"

    subset: Literal["all", "words"] = "all"
    """`words`: only the single numbers, letters and words of the phonetic alphabet."""

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`, in the order of the file names."""
        from datasets import Audio, Dataset

        for place in (_SOUNDS / "digits", _TEXTS):
            if not place.exists():
                raise DataError(
                    f"sample 'asterisk_prompts' needs {place}: apt-get install asterisk-core-sounds-en-wav "
                    "asterisk-core-sounds-en"
                )
        rows = []
        for line in gzip.decompress(_TEXTS.read_bytes()).decode().splitlines():
            name, _, transcript = line.partition(":")
            file = _SOUNDS / f"{name.strip()}.wav"
            # A text in brackets describes a sound.
            spoken = re.sub(r"\[.*?\]|\(.*?\)", " ", transcript.lower())
            text = " ".join(re.sub(r"[^a-z' ]", " ", spoken).split())
            kind = _KINDS.get(name.partition("/")[0], "prompt")
            wanted = self.subset == "all" or _SINGLE_WORD.fullmatch(name)
            if not line.startswith(";") and text and file.is_file() and wanted:
                rows.append({"audio": {"bytes": None, "path": str(file)}, "text": text, "kind": kind})
        return {"train": Dataset.from_list(rows).cast_column("audio", Audio(decode=False))}
