"""Columns of data sets in Arrow: read so that equal cells are one object, added so that nothing else is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hftransfer.core.machine import release_pages

if TYPE_CHECKING:
    from datasets import Dataset

Result = TypeVar("Result")
# Where less than this share of a column is selected, its cells are read one by one.
_FEW = 0.05
# Rows whose pages are in memory at the same time.
_READ_AT_ONCE = 128
# Of rows that are read in their order: those of a batch, and after how many their pages are given back.
_BATCH, _RELEASED = 64, 64 * 256


def release(*tables: Dataset) -> None:
    """Give back the memory of what was read of rows that lie in files, which are read again where needed."""
    release_pages({file["filename"] for rows in tables for file in rows.cache_files})


def read_rows(rows: Dataset) -> dict[str, list[Any]]:
    """Column -> cells. With a row the kernel maps hundreds of kilobytes around it, which are given back."""
    columns: dict[str, list[Any]] = {name: [] for name in rows.column_names}
    for batch in rows.iter(batch_size=_READ_AT_ONCE):
        for name, values in batch.items():
            columns[name] += values
        release(rows)
    return columns


def each(rows: Dataset) -> Iterator[dict[str, Any]]:
    """The rows one by one, read several at once, in a tenth of the time; the memory of what was read is given back."""
    for number, batch in enumerate(rows.iter(batch_size=_BATCH), 1):
        yield from (dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True))
        if number * _BATCH % _RELEASED == 0:
            release(rows)
    release(rows)


def read_column(rows: Dataset, name: str) -> list[Any]:
    """The cells of a column, of which equal ones are one object: a million labels take 8 bytes each."""
    import pyarrow

    column = rows.data.column(name)
    if rows.format["type"] is not None or len(rows) < _FEW * len(column):
        return list(rows[name][:])
    nested = pyarrow.types.is_nested(column.type) or isinstance(column.type, pyarrow.ExtensionType)
    if nested or pyarrow.types.is_dictionary(column.type) or not len(rows):
        return list(rows[name][:])
    encoded = column.combine_chunks().dictionary_encode()
    # The whole file has been read to get from one part of the column to the next.
    release(rows)
    distinct = np.empty(len(encoded.dictionary) + 1, dtype=object)
    distinct[:-1] = encoded.dictionary.to_pylist()
    distinct[-1] = None
    places = encoded.indices.fill_null(len(distinct) - 1).to_numpy()
    # `datasets` would make an object of each selected row, of 500 bytes.
    shared: list[Any] = distinct[places if rows._indices is None else places[_numbers(rows)]].tolist()
    return shared


def for_each(function: Callable[[Any], Result], values: Sequence[Any]) -> list[Result]:
    """`function` of each value, called once for equal ones; the results are not to be changed."""
    cached = lru_cache(maxsize=None, typed=True)(function)
    return [function(value) if isinstance(value, list | dict) else cached(value) for value in values]


def with_column(rows: Dataset, name: str, values: Sequence[Any] | np.ndarray, feature: Any = None) -> Dataset:
    """The rows with one more column.

    `Dataset.add_column` (datasets 4 and 5) first writes selected rows anew, all of their columns. Here the column is
    added to the rows that they were selected from, whose other cells are empty, and the selection is repeated; only a
    private attribute holds it. Where a row is selected twice, its two cells may differ.
    """
    from datasets import Dataset, Features

    if rows._indices is None:
        return rows.add_column(name, values, feature=feature)
    numbers = _numbers(rows)
    places = np.full(rows.data.num_rows, -1)
    places[numbers] = np.arange(len(numbers))
    if (places[numbers] != np.arange(len(numbers))).any():
        return rows.add_column(name, values, feature=feature)
    column = Dataset.from_dict({name: values}, features=Features({name: feature}) if feature else None)
    whole = Dataset(rows.data, info=rows.info.copy(), split=rows.split)
    spread = column.data.table.column(name).take(_or_null(places))
    return whole.add_column(name, spread, feature=column.features[name]).select(numbers)


def _numbers(rows: Dataset) -> np.ndarray:
    """The numbers of selected rows.

    They are stored unsigned, and where some follow each other `Dataset.select` adds the first one to signed numbers,
    for which numpy gives a float.
    """
    numbers: np.ndarray = rows._indices.column(0).to_numpy().astype(np.int64)
    return numbers


def _or_null(places: np.ndarray) -> Any:
    import pyarrow

    return pyarrow.array(places, mask=places < 0)


def cast_column(rows: Dataset, name: str, feature: Any) -> Dataset:
    """The rows with a column of another type. `Dataset.cast_column` writes all columns anew; this one that alone."""
    from datasets import concatenate_datasets

    if rows._indices is not None or hasattr(feature, "decode_example") or len(rows.column_names) == 1:
        return rows.cast_column(name, feature)
    changed = rows.select_columns([name]).cast_column(name, feature)
    others = rows.remove_columns(name)
    return concatenate_datasets([others, changed], axis=1).select_columns(rows.column_names)
