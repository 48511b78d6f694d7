"""Rows of csv files (https://huggingface.co/docs/datasets/loading)."""

from typing import Any, ClassVar

from hftransfer.sources import Files


class Csv(Files):
    """One csv file, or several, for each split. Only an empty cell is empty: `NA` and `None` are words."""

    _options: ClassVar[dict[str, Any]] = {"keep_default_na": False, "na_values": [""]}
