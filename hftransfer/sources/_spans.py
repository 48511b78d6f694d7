"""Spans of characters with labels, as annotation tools write them, as words with tags for token classification."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

Span = tuple[int, int, str]
"""First character, the one after the last, label."""

# Scripts without spaces between words: each character is a word.
_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


def words_and_tags(text: str, spans: Sequence[Span]) -> tuple[list[str], list[str]]:
    """The words and signs of a text, each with `B-` or `I-` and its span's label, or `O`.

    A word of which a span covers a part is cut where the span begins or ends.

    Raises:
        ValueError: a span lies outside of the text, holds nothing, or covers a part of another.
    """
    spans = sorted(set(spans))
    for (_, end, label), (start, _, other) in zip(spans, spans[1:], strict=False):
        if start < end:
            raise ValueError(f"the spans '{label}' and '{other}' overlap at character {start}")
    for start, end, label in spans:
        if not 0 <= start < end <= len(text) or not text[start:end].strip():
            raise ValueError(f"the span '{label}' from {start} to {end} holds nothing of {len(text)} characters")
    edges = {edge for start, end, _ in spans for edge in (start, end)}
    words, tags, place = [], [], 0
    last: Span | None = None
    for start, end in _words(text, edges):
        while place < len(spans) and spans[place][1] <= start:
            place += 1
        span = spans[place] if place < len(spans) and spans[place][0] <= start else None
        words.append(text[start:end])
        tags.append("O" if span is None else f"{'I' if span == last else 'B'}-{span[2]}")
        last = span
    return words, tags


def _words(text: str, edges: set[int]) -> list[tuple[int, int]]:
    """Where the words and signs of a text begin and end."""
    found: list[tuple[int, int]] = []
    before = " "
    for place, letter in enumerate(text):
        kind = _kind(letter)
        if kind == "word" == before and place not in edges:
            found[-1] = (found[-1][0], place + 1)
        elif kind != " ":
            found.append((place, place + 1))
        before = kind
    return found


def _kind(letter: str) -> str:
    if letter.isspace():
        return " "
    category = unicodedata.category(letter)
    if category[0] in "PS":
        return "sign"
    # A vowel sign of Thai belongs to the letter before it, as a combining accent does.
    alone = category[0] == "L" and unicodedata.name(letter, "").startswith(_WITHOUT_SPACES)
    return "letter" if alone else "word"
