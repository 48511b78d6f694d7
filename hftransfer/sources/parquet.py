"""Rows of Parquet files (https://huggingface.co/docs/datasets/loading#parquet)."""

from hftransfer.sources import Files


class Parquet(Files):
    """One Parquet file, or several, for each split."""
