"""Rows of json files (https://huggingface.co/docs/datasets/loading)."""

from hftransfer.sources import Files


class Json(Files):
    """One json file, or several, for each split."""
