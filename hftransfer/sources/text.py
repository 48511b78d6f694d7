"""Rows of plain text files (https://huggingface.co/docs/datasets/nlp_load#text-files)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from hftransfer.core.errors import DataError
from hftransfer.sources import Files

if TYPE_CHECKING:
    from datasets import Dataset


class Text(Files):
    """One text file, or several, for each split. Column: `text`, and `label` where the lines have one."""

    sample_by: Literal["line", "paragraph", "document"] = "line"
    """What becomes a row: a line (empty lines are errors, see data.on_error), a paragraph between empty lines, or a
    file."""

    encoding: str = "utf-8"
    """Of the files, as Python names it: latin-1, cp1252, utf-16."""

    labels: Literal["first_word"] | None = None
    """`first_word`: what stands before the first space or tab of a row is its label, as in the log files of Loghub."""

    def loader_options(self) -> dict[str, Any]:
        # With a byte order mark, as Windows writes it, or without.
        return {"sample_by": self.sample_by, "encoding": "utf-8-sig" if self.encoding == "utf-8" else self.encoding}

    def load(self) -> dict[str, Dataset]:
        splits = super().load()
        return {name: _labelled(rows, name) for name, rows in splits.items()} if self.labels else splits


def _labelled(rows: Dataset, split: str) -> Dataset:
    """The rows with the first word of each text as its label.

    Raises:
        DataError: a text has one word alone.
    """
    from datasets import Dataset

    parts = [text.split(maxsplit=1) for text in rows["text"][:]]
    for number, part in enumerate(parts):
        if len(part) == 1:
            raise DataError(
                f"data.source.labels: row {number} of split '{split}', '{part[0]:.40}', has a first word and nothing "
                "after it: no label and text"
            )
    # An empty line stays one, which `data.on_error` is about.
    columns = {
        "text": [part[1] if part else "" for part in parts],
        "label": [part[0] if part else "" for part in parts],
    }
    return Dataset.from_dict(columns)
