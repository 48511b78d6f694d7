"""Rows of csv files (https://huggingface.co/docs/datasets/loading)."""

import csv
from typing import Any

from hftransfer.sources import Files


class Csv(Files):
    """One csv file, or several, for each split. Only an empty cell is empty: `NA` and `None` are words."""

    delimiter: str | None = None
    """Between the cells of a line; left out, a comma, and in files whose names end in .tsv a tab."""
    encoding: str = "utf-8"
    """Of the files, as Python names it: latin-1, cp1252, utf-16."""
    quotes: bool = True
    """Whether a cell may stand in quotation marks; in the files of GLUE they are marks of the text."""

    def options(self) -> dict[str, Any]:
        files = [self.train] if isinstance(self.train, str) else self.train
        tabs = all(file.endswith(".tsv") for file in files)
        separator = self.delimiter or ("\t" if tabs else ",")
        return {
            "keep_default_na": False,
            "na_values": [""],
            "sep": separator,
            "encoding": self.encoding,
            "quoting": csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
        }
