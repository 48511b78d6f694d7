"""Rows of Parquet files (https://huggingface.co/docs/datasets/loading#parquet)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import DataError
from hftransfer.sources import Files

if TYPE_CHECKING:
    import pyarrow.parquet
    from datasets import Dataset

# Rows that are read at once, and bytes of a column: the loader of `datasets` takes a whole row group, which may be the
# whole file.
_ROWS, _BYTES = 1000, 2**20
# More bytes of rows than this are not held in memory.
_MOST_BYTES = 2**28


class Parquet(Files):
    """One Parquet file, or several, for each split."""

    def loader_options(self) -> dict[str, Any]:
        from pyarrow.dataset import ParquetFragmentScanOptions

        buffered = ParquetFragmentScanOptions(use_buffered_stream=True, buffer_size=_BYTES, pre_buffer=False)
        return {"batch_size": _ROWS, "fragment_scan_options": buffered}

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


def _in_types_of_datasets(tables: list[pyarrow.Table]) -> Dataset:
    import pyarrow
    from datasets import Dataset, Features

    features = Features.from_arrow_schema(tables[0].schema)
    return Dataset(pyarrow.concat_tables(tables).cast(features.arrow_schema))


def _open(path: str) -> pyarrow.parquet.ParquetFile:
    """A file of which columns are read a piece at a time.

    Raises:
        DataError: it is none.
    """
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path, buffer_size=_BYTES, pre_buffer=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"data.source: parquet cannot read '{path}': {str(error).partition(chr(10))[0]}") from None


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
