"""How many bytes the columns of a Parquet file become: of kilobytes with a dictionary, it may be terabytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hftransfer.core.errors import DataError
from hftransfer.sources._archives import most_unpacked

if TYPE_CHECKING:
    import pyarrow.parquet

# Bytes of a number.
_NUMBER = 8
# Rows, and bytes of a column, that are read at once.
_BATCH, _BUFFER = 65_536, 2**20
# Rows are read some at a time, so that what they become fills no memory, but the disk.
_TIMES_UNPACKED = 10


def check_size(path: str, file: pyarrow.parquet.ParquetFile, size: int) -> None:
    """Refuse a file of so many bytes that becomes more than a thousand times as large.

    The longest value of each dictionary gives a bound at once; only where that is too large are the values counted.

    Raises:
        DataError: it does.
        ArrowException, OSError: a dictionary cannot be read.
    """
    limit = _TIMES_UNPACKED * most_unpacked(size)
    total, repeated = 0, []
    for group, column in ((g, c) for g in range(file.num_row_groups) for c in range(file.metadata.num_columns)):
        chunk = file.metadata.row_group(group).column(column)
        total += chunk.total_uncompressed_size
        if any("DICTIONARY" in encoding for encoding in chunk.encodings):
            if chunk.physical_type == "BYTE_ARRAY":
                repeated.append((group, chunk.path_in_schema, chunk.num_values))
            else:
                total += _NUMBER * chunk.num_values
    names = sorted({name for _, name, _ in repeated})
    counts = (count * _longest(path, names, group, name) for group, name, count in repeated)
    if total <= limit < total + sum(counts):
        for length in (it for group, name, _ in repeated for it in _lengths(path, names, group, name)):
            total += length
            if total > limit:
                break
    if total > limit:
        raise DataError(
            f"'{path}' has {size:,} bytes and more than {limit:,} once it is read; if that is right, write it again "
            "without a dictionary, or in several files"
        )


def _batches(path: str, names: list[str], group: int, name: str, rows: int) -> Iterator[pyarrow.DictionaryArray]:
    """The values of a column as numbers of those in its dictionary, which is all that is held in memory."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path, read_dictionary=names, buffer_size=_BUFFER, pre_buffer=False) as file:
        for batch in file.iter_batches(rows, row_groups=[group], columns=[name]):
            values = batch.column(0)
            while not pyarrow.types.is_dictionary(values.type):
                if not pyarrow.types.is_nested(values.type):
                    # Of a type that is read without its dictionary.
                    values = values.dictionary_encode()
                else:
                    values = values.field(0) if pyarrow.types.is_struct(values.type) else values.flatten()
            yield values


def _longest(path: str, names: list[str], group: int, name: str) -> int:
    """Bytes of the longest value of the dictionary at a column's begin."""
    import pyarrow.compute

    first = next(_batches(path, names, group, name, 1), None)
    lengths = pyarrow.compute.binary_length(first.dictionary) if first is not None and len(first.dictionary) else None
    return int(pyarrow.compute.max(lengths).as_py() or 0) if lengths is not None else 0


def _lengths(path: str, names: list[str], group: int, name: str) -> Iterator[int]:
    """Bytes of the values of a column, some thousands at a time."""
    import pyarrow.compute

    for values in _batches(path, names, group, name, _BATCH):
        if len(values.dictionary):
            lengths = pyarrow.compute.binary_length(values.dictionary).take(values.indices)
            yield int(pyarrow.compute.sum(lengths.cast("int64")).as_py() or 0)
