"""The articles of the sample `bbc_news` as other samples take them apart: title, lead sentence and what follows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from hftransfer.core import plugins

# Of ten articles, in the order of the file names: two are test rows, one is validation.
_SPLITS = ("test", "test", "validation", *["train"] * 7)
_SENTENCE_END = re.compile(r"(?<=[.!?]) ")


class Article(NamedTuple):
    """One article, in one line each."""

    title: str
    lead: str
    """The first sentence."""
    rest: str
    """All other sentences."""


def split_of(number: int) -> str:
    """The split of what is made of an article, by its number."""
    return _SPLITS[number % len(_SPLITS)]


def texts() -> list[str]:
    """The articles as they are, in the order of their files; some stand there twice."""
    found: list[str] = plugins.load("samples", "bbc_news")().rows()["train"]["text"][:]
    return found


def articles() -> Iterator[Article]:
    """Every article, of those with an equal rest the first."""
    found: dict[str, Article] = {}
    for text in texts():
        title, first, *others = [line.strip() for line in _as_utf8(text).splitlines() if line.strip()]
        lead, *more = _SENTENCE_END.split(first)
        rest = " ".join([*more, *others])
        found.setdefault(rest, Article(title, lead, rest))
    yield from found.values()


def _as_utf8(text: str) -> str:
    """A text that was read as Latin-1, as `bbc_news` reads all, and may be UTF-8."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return text
