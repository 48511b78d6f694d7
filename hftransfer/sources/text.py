"""Rows of plain text files (https://huggingface.co/docs/datasets/nlp_load#text-files)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal

from hftransfer.core.errors import DataError
from hftransfer.sources import Files

if TYPE_CHECKING:
    from datasets import Dataset

_FASTTEXT = "__label__"


class Text(Files):
    """One text file, or several, for each split. Column: `text`, and `label` where the lines have one."""

    sample_by: Literal["line", "paragraph", "document"] = "line"
    """What becomes a row: a line (empty lines are errors, see data.on_error), a paragraph between empty lines, or a
    file."""

    encoding: str = "utf-8"
    """Of the files, as Python names it: latin-1, cp1252, utf-16."""

    labels: Literal["first_word"] | None = None
    """`first_word`: what stands before the first space or tab of a row is its label, as in the log files of Loghub.
    Words that begin with `__label__`, as fastText writes them, are labels without it; where some row has several, each
    row has a list."""

    def loader_options(self) -> dict[str, Any]:
        # With a byte order mark, as Windows writes it, or without.
        return {"sample_by": self.sample_by, "encoding": "utf-8-sig" if self.encoding == "utf-8" else self.encoding}

    def load(self) -> dict[str, Dataset]:
        splits = super().load()
        return _labelled(splits) if self.labels else splits


def _labelled(splits: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The rows with the first word of each text as its label.

    Raises:
        DataError: a text has one word alone.
    """
    from datasets import Dataset

    parts = {
        name: [_parted(text, f"row {number} of split '{name}'") for number, text in enumerate(rows["text"][:])]
        for name, rows in splits.items()
    }
    several = any(len(labels) > 1 for them in parts.values() for labels, _ in them)
    return {
        name: Dataset.from_dict(
            {"text": [text for _, text in them], "label": [it if several else (it or [""])[0] for it, _ in them]}
        )
        for name, them in parts.items()
    }


def _parted(row: str, place: str) -> tuple[list[str], str]:
    """The labels of a row and its text; of an empty line, which `data.on_error` is about, none and nothing."""
    # Long rows without a mark are not taken apart beyond their first word.
    words = row.split() if row.lstrip().startswith(_FASTTEXT) else row.split(maxsplit=1)
    labels = list(takewhile(lambda word: word.startswith(_FASTTEXT), words)) or words[:1]
    texts = row.split(maxsplit=len(labels))[len(labels) :]
    if labels and not texts:
        raise DataError(
            f"data.source.labels: {place}, '{row.strip():.40}', has a first word and nothing after it: "
            "no label and text"
        )
    return [label.removeprefix(_FASTTEXT) for label in labels], "".join(texts)
