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
        plain = {"keep_default_na": False, "na_values": [""], "sep": separator, "encoding": self.encoding}
        plain["quoting"] = csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE
        return plain | {"converters": dict.fromkeys(self._codes(plain), str)}

    def _codes(self, options: dict[str, Any]) -> set[str]:
        """Columns with numbers that begin with a nought, which are names: read as numbers, 01 and 1 would be one."""
        import pandas

        found: set[str] = set()
        for file in (file for files in self._paths().values() for file in files):
            try:
                with pandas.read_csv(file, dtype=str, chunksize=50_000, **options) as parts:
                    for part in parts:
                        found |= {name for name in part if part[name].str.fullmatch(r"[+-]?0[0-9]+").any()}
            except (ValueError, OSError):
                # The loader says it in a sentence.
                return set()
        return found
