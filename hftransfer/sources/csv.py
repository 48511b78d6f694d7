"""Rows of CSV files (https://huggingface.co/docs/datasets/loading#csv)."""

from __future__ import annotations

import csv
from typing import Any

from hftransfer.sources import Files


class Csv(Files):
    """One CSV file, or several, for each split. Only an empty cell is missing: `NA` and `None` are words."""

    delimiter: str | None = None
    """Between the cells of a line; left out, a comma, or a tab in files whose names end in .tsv."""
    encoding: str = "utf-8"
    """Of the files, as Python names it: latin-1, cp1252, utf-16."""
    quotes: bool = True
    """Whether a cell may be quoted; false where quotation marks are part of the text, as in the files of GLUE."""

    def loader_options(self) -> dict[str, Any]:
        files = [self.train] if isinstance(self.train, str) else self.train
        default = "\t" if all(file.endswith(".tsv") for file in files) else ","
        options = {
            "keep_default_na": False,
            "na_values": [""],
            "sep": self.delimiter or default,
            "encoding": self.encoding,
            "quoting": csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
        }
        return options | {"converters": dict.fromkeys(self._code_columns(options), str)}

    def _code_columns(self, options: dict[str, Any]) -> set[str]:
        """Columns with numbers that begin with a zero: those are codes, and 01 and 1 would be the same number."""
        import pandas

        columns: set[str] = set()
        for file in (file for files in self._paths().values() for file in files):
            try:
                with pandas.read_csv(file, dtype=str, chunksize=50_000, **options) as parts:
                    for part in parts:
                        columns |= {name for name in part if part[name].str.fullmatch(r"[+-]?0[0-9]+").any()}
            except (ValueError, OSError):
                # The loader reports it in a sentence.
                return set()
        return columns
