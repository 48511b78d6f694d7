"""Rows of Parquet files (https://huggingface.co/docs/datasets/loading#parquet)."""

from __future__ import annotations

from typing import Any

from hftransfer.sources import Files

# Rows that are read at once, and bytes of a column: the loader of `datasets` takes a whole row group, which may be the
# whole file.
_ROWS, _BYTES = 1000, 2**20


class Parquet(Files):
    """One Parquet file, or several, for each split."""

    def loader_options(self) -> dict[str, Any]:
        from pyarrow.dataset import ParquetFragmentScanOptions

        buffered = ParquetFragmentScanOptions(use_buffered_stream=True, buffer_size=_BYTES, pre_buffer=False)
        return {"batch_size": _ROWS, "fragment_scan_options": buffered}
