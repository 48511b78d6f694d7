"""Tables that were read once, as Arrow files in the cache of `datasets`, with the warnings of their reader."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hftransfer.core.errors import DataError

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset, Features

# Raised with each change of what the readers make of a file.
_VERSION = 4
_WARNINGS = "warnings.json"


@dataclass(frozen=True)
class Table:
    """The rows of a split, some thousands at a time."""

    features: Features
    batches: Iterator[pyarrow.Table]


Read = Callable[[], tuple[dict[str, Table], list[str]]]
"""Split -> its rows, and warnings."""


def cached(paths: Mapping[str, list[str]], options: object, read: Read) -> tuple[dict[str, Dataset], list[str]]:
    """Split -> rows, and warnings; `read` is called unless these very files have been read with these options.

    Raises:
        DataError: a split has no rows.
    """
    import datasets
    from datasets import Dataset

    files = [(split, _state(file)) for split, names in paths.items() for file in names]
    key = hashlib.sha256(repr((_VERSION, options, files)).encode()).hexdigest()[:32]
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "hftransfer" / key
    if not folder.is_dir():
        _write(folder, read)
    splits = {split: Dataset.from_file(str(folder / f"{split}.arrow")) for split in paths}
    for split, rows in splits.items():
        if not len(rows):
            raise DataError(f"data.source.{split}: there are no rows in {', '.join(paths[split])}")
    return splits, json.loads((folder / _WARNINGS).read_text(encoding="utf-8"))


def _check_names(split: str, features: Features) -> None:
    """Refuse rows without columns, and names that Arrow does not take.

    Raises:
        DataError: there are no columns, or one has such a name.
    """
    if not features:
        raise DataError(f"data.source.{split}: there are no rows")
    for name in features:
        if "\0" in name or any("\ud800" <= sign <= "\udfff" for sign in name):
            raise DataError(f"data.source.{split}: {name!r:.60} cannot name a column: it holds what is no character")


def _state(file: str) -> tuple[str, int, int]:
    """What changes with the content of a file."""
    path = Path(file).absolute()
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


def _write(folder: Path, read: Read) -> None:
    """The tables in a folder, which is there whole or not at all."""
    from datasets.arrow_writer import ArrowWriter

    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix="partial-") as temporary:
        partial = Path(temporary) / "tables"
        partial.mkdir()
        tables, warnings = read()
        for split, table in tables.items():
            _check_names(split, table.features)
            with ArrowWriter(path=str(partial / f"{split}.arrow"), features=table.features) as writer:
                for batch in table.batches:
                    writer.write_table(batch)
                writer.finalize()
        (partial / _WARNINGS).write_text(json.dumps(warnings), encoding="utf-8")
        try:
            partial.rename(folder)
        except OSError:
            # Another process was quicker.
            if not folder.is_dir():
                raise
