"""How label cells are written: names, numbers, lists, several names in one string."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from hftransfer.core.errors import DataError
from hftransfer.core.features import Cell

# A list as Python or JSON writes it.
_LIST = re.compile(r"\[\s*(['\"].*['\"]|\d+(\s*,\s*\d+)*)?\s*\]")


def single(value: Cell) -> Cell:
    """The label of a row that has exactly one, in a list or not.

    Raises:
        DataError: the list has none, or several.
    """
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise DataError(f"a row has {len(value)} labels, {value!r:.60}, and the task says that each has one")
    return value[0]


def normalized(value: Cell) -> Cell:
    """2.0 and 2 are one class, and so are a word and the same with a space after it."""
    if isinstance(value, str):
        return value.strip()
    return int(value) if isinstance(value, float | Decimal) and float(value).is_integer() else value


def number(value: Cell, row: int) -> float:
    """The number that a label is.

    Raises:
        DataError: it is none, or not finite.
    """
    try:
        if np.isfinite(result := float(value)):
            return result
        raise ValueError(value)
    except (TypeError, ValueError):
        raise DataError(f"the label of row {row} is {value!r}, not a number, in a regression") from None


def names(value: Cell, class_names: Sequence[str] | None, separator: str | None) -> list[str]:
    """The class names in a cell; `separator` parts several in one string, None where each row has one class."""
    if value is None:
        return []
    if isinstance(value, str):
        parts = [value] if separator is None else value.split(separator)
        return [part.strip() for part in parts if part.strip()]
    values = [single(value)] if separator is None else value if isinstance(value, list) else [value]
    return [class_names[v] if class_names and isinstance(v, int) else str(normalized(v)) for v in values]


def refuse_written_lists(labels: Sequence[Cell], separator: str) -> None:
    """Refuse lists that were written as text.

    Raises:
        DataError: a cell is such a text.
    """
    for row, value in enumerate(labels):
        if isinstance(value, str) and _LIST.fullmatch(value):
            raise DataError(
                f"the label {value} (row {row}) is a list that was written as text: give lists (JSON, Parquet), or "
                f"the labels alone with '{separator}' between them"
            )


def has_several(labels: Sequence[Cell], separator: str) -> bool:
    """Whether rows have several labels: lists, or strings whose parts recur in others."""
    if any(isinstance(value, list) for value in labels):
        return True
    if not all(isinstance(value, str) for value in labels):
        return False
    whole = {value.strip() for value in labels}
    parts = {part.strip() for value in whole for part in value.split(separator)}
    return len(parts) < len(whole)


def are_numbers(labels: Sequence[Cell], *, named: bool) -> bool:
    """Whether labels are quantities: decimals, or very many whole numbers without names."""
    numeric = all(isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in labels)
    decimals = numeric and any(not float(value).is_integer() for value in labels)
    many = numeric and not named and len(set(labels)) > max(20, min(1000, len(labels)) / 4)
    return decimals or many
