"""Rows of parquet files (https://huggingface.co/docs/datasets/loading)."""

from hftransfer.sources import Files


class Parquet(Files):
    """One parquet file, or several, for each split."""
