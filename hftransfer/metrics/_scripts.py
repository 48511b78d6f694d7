"""Words in any script: those of scripts that put no spaces between words are taken by the character."""

from collections.abc import Iterable

import regex

_NO_SPACES = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_WORDS = regex.compile(rf"{_NO_SPACES}\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}]--{_NO_SPACES}]+", regex.VERSION1)


def words(text: str) -> list[str]:
    """The words of a text in lower case; of ASCII texts the matches of `[a-z0-9]+`."""
    matches: list[str] = _WORDS.findall(text.lower())
    return matches


def uses_spaces(texts: Iterable[str]) -> bool:
    """Whether most letters are of scripts that put spaces between words; true without letters."""
    without = letters = 0
    for text in texts:
        without += len(regex.findall(_NO_SPACES, text))
        letters += len(regex.findall(r"\p{L}", text))
    return 2 * without <= letters
