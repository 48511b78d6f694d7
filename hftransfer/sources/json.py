"""Rows of json files (https://huggingface.co/docs/datasets/loading)."""

from typing import Any

from hftransfer.sources import Files


class Json(Files):
    """One json file, or several, for each split: a row on each line, or a list of rows."""

    field: str | None = None
    """The key under which the list of rows stands."""

    def options(self) -> dict[str, Any]:
        return {"field": self.field} if self.field else {}
