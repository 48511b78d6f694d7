"""Rows of csv files (https://huggingface.co/docs/datasets/loading)."""

from hftransfer.sources import Files


class Csv(Files):
    """One csv file, or several, for each split."""
