"""The same 952 short sentences in 77 languages: descriptions of pictures ("A black-footed albatross.").

Columns: `source`, `target` (string), `stamp` (the picture). 952 pairs of en, ca, cs, fr, gl, is, ja, pt and sk, 900 and
more of 45 further languages, some hundreds or dozens of the others; 805 of the English sentences are distinct.

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


class Sentences77(Sample):
    """Parallel sentences of two languages."""

    license: ClassVar[str] = "gpl-2.0"
    provenance: ClassVar[str] = "Debian package tuxpaint-stamps-default: the descriptions of the stamps of Tux Paint"
    download_bytes: ClassVar[int] = TUXPAINT_STAMPS.size
    flaws: ClassVar[tuple[str, ...]] = (
        "Some sentences were not translated, or freely, and some stand for several pictures.",
    )

    source: str = "en"
    """Code of the language to translate from, as gettext writes it (`pt_BR`)."""
    target: str = "fr"
    """Code of the language to translate to."""

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`, in the order of the pictures; each pair once."""
        from datasets import Dataset

        found = list(descriptions(self.name))
        available = sorted({language for it in found for language in it.texts})
        for language in (self.source, self.target):
            if language not in available:
                raise DataError(
                    f"data.source.options: there are no sentences of '{language}'; {nearest(language, available)}"
                )
        pairs: dict[tuple[str, str], str] = {}
        for it in found:
            if self.source in it.texts and self.target in it.texts:
                pairs.setdefault((it.texts[self.source], it.texts[self.target]), it.stamp)
        columns = {
            "source": [source for source, _ in pairs],
            "target": [target for _, target in pairs],
            "stamp": list(pairs.values()),
        }
        return {"train": Dataset.from_dict(columns)}
