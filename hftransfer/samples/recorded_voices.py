"""Words, letters and sentences read aloud by volunteers and for telephones: 47 voices, 40 recordings of each.

Columns: `audio` (OGG or WAV, 8,000 to 44,100 Hz), `label` (ClassLabel, the voice: collection and language, such as
`ktuberling-fr`; the English and the Spanish telephone prompts are of one), `name` (what is spoken, in the words of the
collection: a file's name). From the Debian packages ktuberling-data, klettres-data, tuxpaint-stamps-default and
asterisk-core-sounds-LANGUAGE-wav, 350 MB together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hftransfer.core import plugins
from hftransfer.samples import Sample
from hftransfer.samples._debian import TUXPAINT_STAMPS, DebianPackage
from hftransfer.samples._tuxpaint import descriptions

if TYPE_CHECKING:
    from datasets import Dataset

_KTUBERLING = DebianPackage("ktuberling-data", 46_661_752, "usr/share/ktuberling/sounds")
"""Words of the game KTuberling in many languages (GPL-2+)."""
_KLETTRES = DebianPackage("klettres-data", 39_529_084, "usr/share/klettres")
_PROMPTS = {"allison": ("en", "es"), "june": ("fr",), "carlo": ("it",), "ivrvoice": ("ru",)}


class RecordedVoices(Sample):
    """Real voices, few and unnamed."""

    license: ClassVar[str] = "gpl-2.0"
    provenance: ClassVar[str] = (
        "Debian packages ktuberling-data, klettres-data, tuxpaint-stamps-default (all GPL-2 or later) and "
        "asterisk-core-sounds-LANGUAGE-wav (CC-BY-SA 3.0, Russian CC-BY 3.0)"
    )
    download_bytes: ClassVar[int] = _KTUBERLING.size + _KLETTRES.size + TUXPAINT_STAMPS.size + 97_607_096
    flaws: ClassVar[tuple[str, ...]] = (
        "But for the telephone prompts no speaker is named: that a language of a collection is one voice is presumed.",
        "A voice has a language, a room and a microphone of its own, by which voices can be told apart as well.",
    )
    requires: ClassVar[dict[str, str]] = {"soundfile": "speech", "soxr": "speech"}

    per_voice: int = Field(default=40, ge=2, le=1000)
    """Recordings of a voice; voices with fewer are left out."""

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`, in the order of the voices."""
        from datasets import Audio, ClassLabel, Dataset

        voices: dict[str, list[Path]] = {}
        for voice, path in chain(_games(self.name), _sentences(self.name), _prompts()):
            voices.setdefault(voice, []).append(path)
        # As many from all over the names of each.
        taken = {
            voice: [paths[number * len(paths) // self.per_voice] for number in range(self.per_voice)]
            for voice, paths in sorted(voices.items())
            if len(paths) >= self.per_voice
        }
        rows = [
            {"audio": {"bytes": None, "path": str(path)}, "label": voice, "name": path.stem}
            for voice, paths in taken.items()
            for path in paths
        ]
        table = Dataset.from_list(rows).cast_column("audio", Audio(decode=False))
        return {"train": table.cast_column("label", ClassLabel(names=[*taken]))}


def _games(sample: str) -> Iterator[tuple[str, Path]]:
    """The words and letters of the games of KDE, each with its voice."""
    for package in (_KTUBERLING, _KLETTRES):
        folder = package.path(sample)
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".ogg", ".wav"):
                yield f"{package.name.removesuffix('-data')}-{path.relative_to(folder).parts[0]}", path


def _sentences(sample: str) -> Iterator[tuple[str, Path]]:
    """The descriptions of stamps."""
    for it in descriptions(sample):
        for language, path in it.recordings.items():
            yield f"tuxpaint-{language}", path


def _prompts() -> Iterator[tuple[str, Path]]:
    """The telephone prompts."""
    prompts = plugins.load("samples", "asterisk_prompts")
    for voice, languages in _PROMPTS.items():
        for language in languages:
            for cell in prompts(language=language).rows()["train"]["audio"]:
                yield f"asterisk-{voice}", Path(cell["path"])
