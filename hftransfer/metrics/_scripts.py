"""What words are in any script: those that are written without spaces count by the letter."""

from collections.abc import Iterable

import regex

_ALONE = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_WORDS = regex.compile(rf"{_ALONE}\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}]--{_ALONE}]+", regex.VERSION1)


def words(text: str) -> list[str]:
    """The words of a text in small letters, of ASCII those of `[a-z0-9]+`."""
    found: list[str] = _WORDS.findall(text.lower())
    return found


def spaced(texts: Iterable[str]) -> bool:
    """Whether most of the letters are of scripts that put spaces between words."""
    alone = letters = 0
    for text in texts:
        alone += len(regex.findall(_ALONE, text))
        letters += len(regex.findall(r"\p{L}", text))
    return 2 * alone <= letters
