"""How label cells are written: names, numbers, lists, several names in one string, a 0 or 1 for each label."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.arrow import for_each, read_column, with_column
from hftransfer.core.errors import DataError
from hftransfer.core.features import Cell, class_names

if TYPE_CHECKING:
    from datasets import Dataset

# The shortest way to write a number: neither noughts nor a sign that could be left out, as codes have them.
_CANONICAL = re.compile(r"-?(0|[1-9][0-9]*)(\.0|\.[0-9]*[1-9])?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
CURRENCY = r"(?:[$€£¥₹]|EUR|USD|GBP|CHF|JPY)"
_GROUPED = r"[0-9]{1,3}(?:[.,'’ \u00a0\u202f][0-9]{3})+(?:[.,][0-9]+)?|[0-9]+(?:[.,][0-9]+)?"
# A number as people write it: 3,5 or 1.234,50 or 12 % or $5.
_NOTATION = re.compile(rf"[+-]?\s*{CURRENCY}?\s*(?:{_GROUPED})\s*(?:[%‰]|{CURRENCY})?")
# Up to here, a float has every whole number.
_EXACT = 2**53
_CALL = re.compile(r"[A-Za-z_][\w.]*\((.*?)(?:,\s*dtype=[^,)]*)?\)", re.DOTALL)
_BRACKETS = re.compile(r"([\[({])(.*)([\])}])", re.DOTALL)
_ITEM = r"(?:[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|True|False|None|nan)"
_ITEMS = re.compile(rf"{_ITEM}(?:[\s,;]+{_ITEM})*,?", re.IGNORECASE)
_VECTOR = re.compile(r"[01](\.0?)?([\s,;|]+[01](\.0?)?)+")


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
    """The numbers 2.0 and 2 are one class, and so are a word and the same with a space after it."""
    if isinstance(value, str | bytes):
        return (value if isinstance(value, str) else value.decode(errors="replace")).strip()
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


def is_number(value: Cell) -> bool:
    """Whether a cell is a number, or the usual spelling of one."""
    if isinstance(value, str):
        return _NUMBER.fullmatch(value.strip()) is not None
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def is_canonical_number(value: Cell) -> bool:
    """Whether a cell is a number, or the one spelling that Python has for it: 01, 1.50 and +1 are codes."""
    if not isinstance(value, str):
        return is_number(value)
    text = value.strip()
    return bool(_CANONICAL.fullmatch(text)) or (is_number(text) and repr(float(text)) == text)


def in_notation(value: Cell) -> bool:
    """Whether a cell is a number as people write it and Python does not: `3,5`, `1.234,5`, `12 %`, `$5`."""
    return isinstance(value, str) and not is_number(value) and bool(_NOTATION.fullmatch(value.strip()))


def number(value: Cell, row: int) -> float:
    """The number that a label is.

    Raises:
        DataError: it is none, or not finite.
    """
    if not is_finite(value):
        raise DataError(f"the label of row {row} is {value!r:.60}, not a number, in a regression{notation_hint(value)}")
    return float(value)


def is_finite(value: Cell) -> bool:
    """Whether a label is a finite number, or spells one."""
    return (is_number(value) or isinstance(value, bool)) and bool(np.isfinite(float(value)))


def notation_hint(value: Cell) -> str:
    """What helps where a number is written in another notation."""
    return "; data.source.decimal: ',' of the source csv reads 1.234,5, '.' 1,234.5" if in_notation(value) else ""


def names(value: Cell, class_names: Sequence[str] | None, separator: str | None) -> list[str]:
    """The class names in a cell; `separator` parts several in one string, None where each row has one class.

    Raises:
        DataError: it holds something else than names.
    """
    if value is None:
        return []
    if isinstance(value, str):
        parts = [value] if separator is None else value.split(separator)
        return [part.strip() for part in parts if part.strip()]
    values = [single(value)] if separator is None else value if isinstance(value, list) else [value]
    _refuse_odd_lists(value, values)
    return [class_names[v] if class_names and isinstance(v, int) else str(normalized(v)) for v in values]


def strata(rows: Dataset) -> list[Cell]:
    """The class of each row that has one, by which splits are stratified."""
    return for_each(lambda cell: normalized(single(cell)), read_column(rows, "label"))


def row_names(rows: Dataset) -> list[list[str]]:
    """The name of the class of each row, in a list."""
    named = class_names(rows.features["label"])
    return for_each(lambda cell: names(cell, named, None), read_column(rows, "label"))


def numbered(rows: Dataset, found: Sequence[Sequence[str]], ids: Mapping[str, int]) -> Dataset:
    """The rows with the number of their class in the place of its name, which stands first in `found`."""
    from datasets import Value

    numbers = [ids[one] for one, *_ in found]
    return with_column(rows.remove_columns("label"), "label", numbers, feature=Value("int64"))


def _refuse_odd_lists(cell: Cell, values: list[Cell]) -> None:
    if any(isinstance(value, list | dict) for value in values):
        raise DataError(f"the label {cell!r:.60} holds a list or a mapping, where the names of classes should be")
    if any(isinstance(value, float) and not value.is_integer() for value in values) and len(values) > 1:
        raise DataError(f"the label {cell!r:.60} holds decimals: neither the names of classes, nor a 0 or 1 for each")
    if len({str(value) for value in values}) < len(values):
        raise DataError(
            f"the label {cell!r:.60} repeats an entry: it is no list of names, and not all rows have a 0 or 1 for each "
            "of equally many labels"
        )


def are_vectors(labels: Sequence[Cell]) -> bool:
    """Whether the cells are lists of one length, above 1, of a 0 or 1 for each label."""
    lists = [value for value in labels if value is not None]
    if not lists or not all(isinstance(value, list) and len(value) > 1 for value in lists):
        return False
    flags = all(isinstance(it, int | float) and it in (0, 1) for value in lists for it in value)
    return flags and len({len(value) for value in lists}) == 1


def refuse_written_lists(labels: Sequence[Cell], separator: str) -> None:
    """Refuse lists that were written as text.

    Raises:
        DataError: a cell is such a text.
    """
    bracketed = all(isinstance(value, str) and value.strip()[:1] + value.strip()[-1:] == "[]" for value in labels)
    for row, value in enumerate(labels):
        if isinstance(value, str) and (bracketed or _is_written_list(value, separator) or _is_written_vector(value)):
            raise DataError(
                f"the label {value:.60} (row {row}) is a list that was written as text: give lists (JSON, Parquet), or "
                f"the labels alone with '{separator}' between them; of a 0 or 1 for each label, a column each "
                "(data.columns)"
            )


def _is_written_list(text: str, separator: str) -> bool:
    call = _CALL.fullmatch(text.strip())
    found = _BRACKETS.fullmatch((call[1] if call else text).strip())
    if not found or f"{found[1]}{found[3]}" not in ("[]", "()", "{}"):
        return False
    inner = found[2].strip()
    numbers = _ITEMS.fullmatch(inner) is not None
    if found[1] == "(":
        return inner[:1] in ("'", '"') or (numbers and "," in inner)
    return not inner or inner[0] in "'\"[({" or numbers or "," in inner or separator in inner


def _is_written_vector(text: str) -> bool:
    """Whether a cell is of the kind `1,0,1` or `1 0 1`, which repeats an entry."""
    return _VECTOR.fullmatch(text.strip()) is not None and len(re.findall(r"[01](?:\.0?)?", text)) > 2
