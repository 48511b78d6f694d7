"""Words with tags in columns, a word a line, an empty line between sentences: CoNLL-2003, CoNLL-U and the like.

https://aclanthology.org/W03-0419/, https://universaldependencies.org/format.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hftransfer.core.errors import DataError
from hftransfer.sources import Files
from hftransfer.sources._records import to_datasets
from hftransfer.sources._text_files import read_lines

if TYPE_CHECKING:
    from datasets import Dataset

_BIO = re.compile(r"O|[BIESLUMW][-_].+")
TAG = re.compile(rf"{_BIO.pattern}|[A-Z$.,:;'\"`()#_-]{{1,8}}|[a-z]{{1,6}}")
"""A tag of a word, or a word that might be one."""
_COMMENT = re.compile(r"# (id |\w+ = )")
# Lines by which the columns are told apart.
_SAMPLE = 400


class Conll(Files):
    """Columns: `tokens`, `tags`. Lines with -DOCSTART- and comments are passed over."""

    token_column: int | None = Field(default=None, ge=-1000, le=1000)
    """The column of the words, from 0 on, -1 for the last; left out, 0, the last where the first one holds the tags, or
    1 in files whose names end in .conllu."""
    tag_column: int | None = Field(default=None, ge=-1000, le=1000)
    """That of the tags; left out, the last, or the first where its cells alone are tags, or 3 (parts of speech) in
    files that end in .conllu."""
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
        token, tag = self._word_and_tag(file, is_conllu)
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
            fits = len(columns) == width and all(-width <= it < width for it in (token, tag))
            if not fits or not columns[token] or not columns[tag]:
                raise DataError(
                    f"{file}:{number}: '{line.rstrip():.60}' has {len(columns)} columns, other lines {width}; needed "
                    f"are a word in column {token} and a tag in {tag} (data.source.token_column, tag_column)"
                )
            sentence["tokens"].append(columns[token])
            sentence["tags"].append(columns[tag])

    def _word_and_tag(self, file: Path, is_conllu: bool) -> tuple[int, int]:
        """The columns of the words and of the tags."""
        usual = (1, 3) if is_conllu else (0, -1)
        if self.token_column is None and self.tag_column is None and not is_conllu:
            rows = (_columns(line, is_conllu) for line in islice(read_lines(str(file), self.encoding), _SAMPLE))
            if begin_with_tags([row for row in rows if row]):
                usual = (-1, 0)
                self.warn(
                    f"{file}: the first column holds the tags, and the last one the words; data.source.token_column: 0 "
                    "and tag_column: -1 read them the other way round"
                )
        token, tag = (usual[0] if self.token_column is None else self.token_column), self.tag_column
        return token, usual[1] if tag is None else tag


def begin_with_tags(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first column of some lines holds tags, of which there are fewer than words, and the last one not."""
    first, last = {row[0].strip() for row in rows}, {row[-1].strip() for row in rows}
    for pattern in (_BIO, TAG):
        fits = [all(map(pattern.fullmatch, column)) for column in (first, last)]
        if fits[0] != fits[1]:
            return fits[0] and len(first) < len(last)
    return False


def _columns(line: str, is_conllu: bool) -> list[str] | None:
    """The columns of a line, none of an empty one; None where it is to be passed over."""
    line = line.rstrip("\r\n")
    if not line.strip():
        return []
    if line.startswith("-DOCSTART-") or line.startswith("#") and (is_conllu or _COMMENT.match(line)):
        return None
    columns = line.split("\t") if "\t" in line else line.split()
    # Words of several tokens, 1-2, and words that are not written, 1.1.
    return None if is_conllu and not columns[0].isdigit() else [cell.strip() for cell in columns]
