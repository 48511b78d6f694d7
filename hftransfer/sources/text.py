"""Rows of plain text files (https://huggingface.co/docs/datasets/nlp_load#text-files)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hftransfer.core.errors import DataError
from hftransfer.sources import Files, read_with_datasets
from hftransfer.sources._split_names import split_of
from hftransfer.sources._text_files import COMPRESSED

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

    labels: Literal["first_word", "file_name"] | None = None
    """`first_word`: what stands before the first space or tab of a row is its label, as in the log files of Loghub.
    Words that begin with `__label__`, as fastText writes them, are labels without it; where some row has several, each
    row has a list. `file_name`: the label is the name of the file, as in `pos.txt` and `neg.txt`, without words of
    splits."""

    def loader_options(self) -> dict[str, Any]:
        # With a byte order mark, as Windows writes it, or without.
        return {"sample_by": self.sample_by, "encoding": "utf-8-sig" if self.encoding == "utf-8" else self.encoding}

    def load(self) -> dict[str, Dataset]:
        if self.labels == "file_name":
            return self._labelled_by_file()
        splits = super().load()
        return _labelled(splits) if self.labels else splits

    def _labelled_by_file(self) -> dict[str, Dataset]:
        """The rows of each file with its label, in the order of the files."""
        from datasets import concatenate_datasets

        def labelled(file: str) -> Dataset:
            rows = read_with_datasets(self.name, self.loader_options(), data_files=[file])["train"]
            return rows.add_column("label", [label_of(file)] * len(rows))

        return {split: concatenate_datasets([*map(labelled, files)]) for split, files in self._paths().items()}


def label_of(file: str | Path) -> str:
    """What the name of a file says of its rows: `neg` of `train-neg.txt`."""
    path = Path(file)
    stem = (Path(path.stem) if path.suffix in COMPRESSED else path).stem
    words = [word for word in re.split(r"[-_. ]+", stem) if word]
    own = [word for word in words if not split_of(word)]
    return stem if len(own) in (0, len(words)) else " ".join(own)


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
