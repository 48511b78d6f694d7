"""Lines above the header of a table: the title of a report, comments, cells that are all empty."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

# Records above a header, and characters of a column's name.
_MOST, _NAME_LENGTH = 20, 60
_NUMBER = re.compile(r"[+-]?[\d.,]*\d[\d.,]*\s*%?")


def preamble(records: Sequence[Sequence[str]]) -> int:
    """How many of the first records of a table stand above its header; 0 where the first one may be the header.

    A title or a comment is words with spaces, or begins with #, and has another number of cells than the rows, or one
    that is filled. What follows it names columns: each cell is filled, none is a number or stands in its column again.
    """
    width = Counter(map(len, records)).most_common(1)[0][0] if records else 0
    if width < 2:
        return 0
    for place, values in enumerate(records[:_MOST]):
        if not _is_title(values, width):
            return place if len(values) == width and _names_columns(values, records[place + 1 :]) else 0
    return 0


def _is_title(values: Sequence[str], width: int) -> bool:
    """Whether a record is above a header of that width; one word may be the name of the only column that has one."""
    first, *others = (cell.strip() for cell in values)
    if len(values) == width and any(others):
        return False
    return not first or " " in first or first.startswith("#") or len(values) == width > 2


def _names_columns(values: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    names = [cell.strip() for cell in values]
    if not below or not all(names) or len(set(names)) < len(names):
        return False
    if any(len(name) > _NAME_LENGTH or _NUMBER.fullmatch(name) for name in names):
        return False
    columns = zip_longest(*below, fillvalue="")
    return not any(name in map(str.strip, column) for name, column in zip(names, columns, strict=False))
