"""Rows of csv files (https://huggingface.co/docs/datasets/loading)."""

from typing import Any

from hftransfer.sources import Files, read_with_datasets


class Csv(Files):
    """One csv file, or several, for each split. Only an empty cell is empty: `NA` and `None` are words."""

    def load(self) -> dict[str, Any]:
        return read_with_datasets(self.name, data_files=self._paths(), keep_default_na=False, na_values=[""])
