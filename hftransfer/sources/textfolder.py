"""Texts in folders: `FOLDER/SPLIT/CLASS/*.txt`, or `FOLDER/CLASS/*.txt` with one split, `train`; a file is a row.

So are the film reviews of aclImdb, the 20 newsgroups and the BBC news, whose files may be without an ending. Training
files in a folder `unsup` or `unlabeled` are the split `unlabelled`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from hftransfer.sources._arrow_cache import Table, cached
from hftransfer.sources._listing import TEXTS, Media
from hftransfer.sources._media_folder import MediaFolder
from hftransfer.sources._text_files import read_lines

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset, Features

# Files that are read at once.
_FILES = 1000


class Textfolder(MediaFolder):
    """Columns: `text`, and `label`."""

    media: ClassVar[Media] = TEXTS

    encoding: str = "utf-8"
    """Of the files, as Python names it: latin-1, cp1252, utf-16."""

    def load(self) -> dict[str, Dataset]:
        listed = super().load()
        files = {split: [str(cell["path"]) for cell in rows["text"]] for split, rows in listed.items()}
        labels = {split: rows.remove_columns("text") for split, rows in listed.items()}
        options = (self.name, self.encoding, [(str(rows.features), rows[:]) for rows in labels.values()])
        rows, warnings = cached(files, options, lambda: self._tables(labels, files))
        for sentence in warnings:
            self.warn(sentence)
        return rows

    def _tables(self, labels: dict[str, Dataset], files: dict[str, list[str]]) -> tuple[dict[str, Table], list[str]]:
        """Split -> the labels with the contents of the files, and a warning of files without a word."""
        from datasets import Features, Value

        tables: dict[str, Table] = {}
        warnings: list[str] = []
        for split, rows in labels.items():
            features = Features({**rows.features, "text": Value("string")})
            tables[split] = Table(features, self._batches(rows, files[split], features, warnings))
        return tables, warnings

    def _batches(
        self, labels: Dataset, files: list[str], features: Features, warnings: list[str]
    ) -> Iterator[pyarrow.Table]:
        import pyarrow

        empty: list[str] = []
        for start in range(0, len(files), _FILES):
            part = files[start : start + _FILES]
            texts = ["".join(read_lines(file, self.encoding)) for file in part]
            empty += [file for file, text in zip(part, texts, strict=True) if not text.strip()]
            columns = labels.data.table.slice(start, _FILES).to_pydict() | {"text": texts}
            yield pyarrow.table(columns, features.arrow_schema)
        if empty:
            warnings.append(f"data.source.path: {len(empty)} of {len(files)} texts are empty, first '{empty[0]}'")
