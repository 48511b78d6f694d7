"""What a column of labels is, where the recipe does not say so: one class a row, several, or numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from hftransfer.core.errors import DataError
from hftransfer.core.features import Cell
from hftransfer.tasks import _labels

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
_KEY = "task.problem_type"
# So many classes that are numbers may be quantities.
_FEW = 20
_TAGS = re.compile("(<[^<>]+>)+")
# What may part labels, where no recipe says so.
_SEPARATORS = (";", "|")


def infer_kind(labels: Sequence[Cell], separator: str, *, named: bool) -> tuple[ProblemType, list[str]]:
    """The kind of the labels of training rows, and a warning where it may be another.

    Args:
        labels: A cell a row.
        separator: What parts several labels in a string.
        named: Whether the data set gives names to the numbers.

    Raises:
        DataError: lists are written as text; numbers are written so that they may be something else.
    """
    _labels.refuse_written_lists(labels, separator)
    if any(isinstance(value, list) for value in labels):
        return "multi_label_classification", []
    if all(isinstance(value, str) for value in labels):
        _refuse_tags(labels)
        _refuse_notation(labels)
        if has_several(labels, separator):
            example = next(value for value in labels if separator in value)
            return "multi_label_classification", [
                f"labels such as '{example:.40}' are read as several with '{separator}' between them: "
                f"{_KEY}: single_label_classification reads each as one, task.separator names what is between them"
            ]
    counts = Counter(map(_labels.normalized, labels))
    if named or not all(map(_labels.is_number, counts)):
        return "single_label_classification", _separated(labels)
    return _kind_of_numbers(counts)


def _kind_of_numbers(counts: Counter[Cell]) -> tuple[ProblemType, list[str]]:
    """Decimals are quantities, unless they are written as codes are; whole numbers, where most stand in one row."""
    canonical = all(map(_labels.is_canonical_number, counts))
    whole = all(float(value).is_integer() for value in counts)
    lone = sum(count == 1 for count in counts.values())
    several = list(counts)[:3]
    shown = ", ".join(map(str, several)) + (" ..." if len(counts) > len(several) else "")
    if canonical and (not whole or (len(counts) > _FEW and lone > len(counts) / 2)):
        warning = f"the labels ({shown}) are read as numbers: {_KEY}: single_label_classification reads them as classes"
        return "regression", [warning] if whole or len(counts) <= _FEW else []
    warning = f"the labels ({shown}) are read as the names of {len(counts)} classes: {_KEY}: regression as numbers"
    return "single_label_classification", [warning] if len(counts) > _FEW or not whole else []


def has_several(labels: Sequence[str], separator: str) -> bool:
    """Whether strings hold several labels: parts of some recur in others."""
    whole = {value.strip() for value in labels}
    parts = {part.strip() for value in whole for part in value.split(separator)}
    return len(parts) < len(whole)


def separator_of(labels: Sequence[Cell]) -> str | None:
    """What parts the labels in strings that hold several; None where it is a comma, or each holds one."""
    if not all(isinstance(value, str) for value in labels) or has_several(labels, ","):
        return None
    return next((it for it in _SEPARATORS if has_several(labels, it)), None)


def _separated(labels: Sequence[Cell]) -> list[str]:
    """A warning where labels look like several with something else between them."""
    if not all(isinstance(value, str) for value in labels):
        return []
    return [
        f"labels such as '{next(value for value in labels if separator in value):.40}' are read as one each: "
        f"task.separator: '{separator}' reads several"
        for separator in _SEPARATORS
        if has_several(labels, separator)
    ]


def _refuse_tags(labels: Sequence[str]) -> None:
    """Refuse several labels in angle brackets, as Stack Overflow writes them.

    Raises:
        DataError: all labels are written so, and some are several.
    """
    if labels and all(map(_TAGS.fullmatch, labels)) and (several := [it for it in labels if it.count("<") > 1]):
        raise DataError(
            f"labels such as '{several[0]:.40}' are several in one text: write a list of them, or a comma between them"
        )


def _refuse_notation(labels: Sequence[str]) -> None:
    """Refuse numbers of another notation, which may be names, or several labels.

    Raises:
        DataError: all labels are numbers, and some are written so.
    """
    first = next((row for row, value in enumerate(labels) if _labels.in_notation(value)), None)
    if first is None or not all(_labels.is_number(value) or _labels.in_notation(value) for value in labels):
        return
    raise DataError(
        f"labels such as '{labels[first]}' (row {first}) may be numbers or names: data.source.decimal: ',' or '.' (of "
        "the source csv) reads numbers with commas or groups of three digits, 12 % and $5 are written as 12 and 5; "
        f"{_KEY}: single_label_classification or multi_label_classification reads names"
    )
