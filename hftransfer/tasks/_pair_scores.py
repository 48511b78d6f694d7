"""Scores of pairs of texts: read as numbers, and mapped to the cosines that a model learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hftransfer.core.arrow import read_column, with_column
from hftransfer.core.errors import DataError
from hftransfer.tasks import _labels

if TYPE_CHECKING:
    from datasets import Dataset

    from hftransfer.tasks import Row

SCORE = "score"
Bounds = tuple[float, float]


def fault(row: Row) -> str | None:
    """Why the score of a row cannot be used, if so."""
    score = row.get(SCORE, 0)
    return None if _labels.is_number(score) else f"the {SCORE} should be a number, got {score!r:.40}"


def bounds(rows: Dataset, given: Bounds | None) -> Bounds | None:
    """The scores of a cosine of 0 and of 1: those given, else the least and the largest; None where rows have none.

    Raises:
        DataError: they are given and there are no scores, all are equal, or rows have negatives too.
    """
    if SCORE not in rows.column_names:
        if given is not None:
            raise DataError("task.score_range: the rows have no scores; data.columns.score names their column")
        return None
    if "negative" in rows.column_names:
        raise DataError("a row has a score or a negative, not both: leave one of the columns out")
    scores = _numbers(rows)
    low, high = given or (min(scores), max(scores))
    if low >= high:
        raise DataError(f"all training rows have the score {low:g}, which tells no similar pair from another")
    return low, high


def as_numbers(rows: Dataset) -> Dataset:
    """The rows with their scores, where they have such, as floats."""
    from datasets import Value

    if SCORE not in rows.column_names:
        return rows
    return with_column(rows.remove_columns(SCORE), SCORE, _numbers(rows), feature=Value("float32"))


def _numbers(rows: Dataset) -> list[float]:
    return [_labels.number(value, row) for row, value in enumerate(read_column(rows, SCORE))]
