"""Rows of JSON files (https://huggingface.co/docs/datasets/loading#json)."""

from __future__ import annotations

from typing import Any

from hftransfer.sources import Files


class Json(Files):
    """One JSON file, or several, for each split: a row a line, or a list of rows."""

    field: str | None = None
    """The key that holds the list of rows, where a file is a mapping."""

    def loader_options(self) -> dict[str, Any]:
        return {"field": self.field} if self.field else {}
