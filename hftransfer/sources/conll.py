"""Words with tags in columns, a word a line, an empty line between sentences: CoNLL-2003, CoNLL-U and the like.

https://aclanthology.org/W03-0419/, https://universaldependencies.org/format.html
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hftransfer.core.errors import DataError
from hftransfer.sources import Files
from hftransfer.sources._records import to_datasets
from hftransfer.sources._text_files import read_lines

if TYPE_CHECKING:
    from datasets import Dataset


class Conll(Files):
    """Columns: `tokens`, `tags`. Lines with -DOCSTART- and comments are passed over."""

    token_column: int | None = Field(default=None, ge=0, le=1000)
    """The column of the words, from 0 on; left out, 0, or 1 in files whose names end in .conllu."""
    tag_column: int | None = Field(default=None, ge=-1000, le=1000)
    """That of the tags, -1 for the last; left out, the last, or 3 (parts of speech) in files that end in .conllu."""
    encoding: str = "utf-8"
    """Of the files, as Python names it."""

    def load(self) -> dict[str, Dataset]:
        return to_datasets(
            {
                split: [row for file in files for row in self._sentences(Path(file))]
                for split, files in self._paths().items()
            }
        )

    def _sentences(self, file: Path) -> Iterator[dict[str, Any]]:
        is_conllu = file.suffix == ".conllu"
        token = self.token_column if self.token_column is not None else int(is_conllu)
        tag = self.tag_column if self.tag_column is not None else 3 if is_conllu else -1
        sentence: dict[str, list[str]] = {"tokens": [], "tags": []}
        width = None
        for number, line in enumerate(chain(read_lines(str(file), self.encoding), [""]), 1):
            columns = _columns(line, is_conllu)
            if columns is None:
                continue
            if not columns:
                if sentence["tokens"]:
                    yield sentence
                sentence = {"tokens": [], "tags": []}
                continue
            width = width or len(columns)
            fits = len(columns) == width and -width <= tag < width and token < width
            if not fits or not columns[token] or not columns[tag]:
                raise DataError(
                    f"{file}:{number}: '{line.rstrip():.60}' has {len(columns)} columns, other lines {width}; needed "
                    f"are a word in column {token} and a tag in {tag} (data.source.token_column, tag_column)"
                )
            sentence["tokens"].append(columns[token])
            sentence["tags"].append(columns[tag])


def _columns(line: str, is_conllu: bool) -> list[str] | None:
    """The columns of a line, none of an empty one; None where it is to be passed over."""
    line = line.rstrip("\r\n")
    if not line.strip():
        return []
    if line.startswith("-DOCSTART-") or line.startswith("#") and (is_conllu or line.startswith("# id ")):
        return None
    columns = line.split("\t") if "\t" in line else line.split()
    # Words of several tokens, 1-2, and words that are not written, 1.1.
    return None if is_conllu and not columns[0].isdigit() else [cell.strip() for cell in columns]
