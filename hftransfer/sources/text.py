"""Rows of plain text files (https://huggingface.co/docs/datasets/nlp_load#text-files)."""

from __future__ import annotations

from typing import Any, Literal

from hftransfer.sources import Files


class Text(Files):
    """One text file, or several, for each split. Column: `text`."""

    sample_by: Literal["line", "paragraph", "document"] = "line"
    """What becomes a row: a line (empty lines are errors, see data.on_error), a paragraph between empty lines, or a
    file."""

    encoding: str = "utf-8"
    """Of the files, as Python names it: latin-1, cp1252, utf-16."""

    def loader_options(self) -> dict[str, Any]:
        # With a byte order mark, as Windows writes it, or without.
        return {"sample_by": self.sample_by, "encoding": "utf-8-sig" if self.encoding == "utf-8" else self.encoding}
