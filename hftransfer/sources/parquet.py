"""Rows of Parquet files (https://huggingface.co/docs/datasets/loading#parquet)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import DataError
from hftransfer.sources import Files
from hftransfer.sources._arrow_cache import Table, cached
from hftransfer.sources._parquet_size import check_size

if TYPE_CHECKING:
    import pyarrow.parquet
    from datasets import Dataset

# Rows that are read at once, and bytes of a column, whose row group may be the whole file.
_ROWS, _BYTES = 1000, 2**20
# More bytes of rows than this are not held in memory.
_MOST_BYTES = 2**28


class Parquet(Files):
    """One Parquet file, or several, for each split."""

    def load(self) -> dict[str, Dataset]:
        """The files; a column has the type of its first one.

        Raises:
            DataError: the files of a split have different columns, or cells are of another type.
        """
        paths = self._paths()
        return cached(paths, self.name, lambda: (self._read(paths), []))[0]

    def _read(self, paths: dict[str, list[str]]) -> dict[str, Table]:
        from datasets import Features

        types: dict[str, Any] = {}
        tables = {}
        for split, files in paths.items():
            features = Features.from_arrow_schema(_open(files[0]).schema_arrow)
            for file in files:
                if different := set(features).symmetric_difference(_open(file).schema_arrow.names):
                    raise DataError(
                        f"data.source.{split}: {files[0]} and {file} differ in the column '{min(different)}'"
                    )
            types = dict(features) | types
            tables[split] = Table(Features({name: types[name] for name in features}), _batches(files, types))
        return tables

    def _paths(self) -> dict[str, list[str]]:
        paths = super()._paths()
        for path in (path for files in paths.values() for path in files):
            status = Path(path).stat()
            _check_size(path, status.st_size, status.st_mtime_ns)
        return paths

    def count(self) -> dict[str, int]:
        files = {split: [_open(file) for file in paths] for split, paths in self._paths().items()}
        return {split: sum(file.metadata.num_rows for file in opened) for split, opened in files.items()}

    def take(self, split: str, numbers: np.ndarray) -> Dataset | None:
        files = [_open(path) for path in self._paths()[split]]
        groups = [(file, number) for file in files for number in range(file.num_row_groups)]
        sizes = [(it.num_rows, it.total_byte_size) for it in (file.metadata.row_group(n) for file, n in groups)]
        counts, sizes_in_bytes = np.array(sizes).T
        if len(numbers) * sizes_in_bytes.sum() / counts.sum() > _MOST_BYTES:
            return None
        first = np.cumsum(counts) - counts
        tables = []
        for (file, group), start, count in zip(groups, first, counts, strict=True):
            wanted = numbers[(numbers >= start) & (numbers < start + count)] - start
            tables += _rows_of_group(file, group, wanted)
        return _in_types_of_datasets(tables)

    def stream(self, split: str) -> Iterator[Dataset]:
        import pyarrow

        for path in self._paths()[split]:
            for batch in _open(path).iter_batches(_ROWS):
                yield _in_types_of_datasets([pyarrow.table(batch)])


def _batches(files: list[str], types: dict[str, Any]) -> Iterator[pyarrow.Table]:
    """The rows of some files, a thousand at a time: the loader of `datasets` 5.2 comes to hold a whole row group."""
    import pyarrow
    from datasets import Features
    from datasets.table import table_cast

    for file in files:
        try:
            for batch in _open(file).iter_batches(_ROWS):
                features = Features({name: types[name] for name in batch.schema.names})
                yield table_cast(pyarrow.table(batch), features.arrow_schema)
        except (pyarrow.ArrowException, OSError, TypeError, ValueError) as error:
            raise _unreadable(file, error) from None


def _in_types_of_datasets(tables: list[pyarrow.Table]) -> Dataset:
    import pyarrow
    from datasets import Dataset, Features

    features = Features.from_arrow_schema(tables[0].schema)
    return Dataset(pyarrow.concat_tables(tables).cast(features.arrow_schema))


@cache
def _check_size(path: str, size: int, _modified: int) -> None:
    """Raises a DataError where a file is no Parquet file, or becomes too large."""
    import pyarrow

    try:
        check_size(path, _open(path), size)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _open(path: str) -> pyarrow.parquet.ParquetFile:
    """A file of which columns are read a piece at a time.

    Raises:
        DataError: it is none.
    """
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path, buffer_size=_BYTES, pre_buffer=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> DataError:
    return DataError(f"data.source: parquet cannot read '{path}': {str(error).partition(chr(10))[0]}")


def _rows_of_group(file: pyarrow.parquet.ParquetFile, group: int, wanted: np.ndarray) -> list[pyarrow.Table]:
    """The rows of these numbers, ascending, of a row group, which is read no further than the last."""
    import pyarrow

    tables, start = [], 0
    batches = file.iter_batches(_ROWS, row_groups=[group]) if len(wanted) else ()
    for batch in batches:
        here = wanted[(wanted >= start) & (wanted < start + len(batch))] - start
        if len(here):
            tables.append(pyarrow.table(batch).take(here))
        start += len(batch)
        if start > wanted[-1]:
            break
    return tables
