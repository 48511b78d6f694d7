"""Rows of plain text files (https://huggingface.co/docs/datasets/nlp_load#text-files)."""

from __future__ import annotations

from typing import Any, Literal

from hftransfer.sources import Files


class Text(Files):
    """One text file, or several, for each split. Column: `text`."""

    sample_by: Literal["line", "paragraph", "document"] = "line"
    """What becomes a row: a line (empty lines are errors, see data.on_error), a paragraph between empty lines, or a
    file."""

    def loader_options(self) -> dict[str, Any]:
        return {"sample_by": self.sample_by}
