"""Recordings in folders: `FOLDER/SPLIT/CLASS/*.wav`, or `FOLDER/CLASS/*.wav` with one split, `train`.

Instead of class folders, the folder of a split may hold a metadata.csv whose column `file_name` names the recordings.
The layout is that of https://huggingface.co/docs/datasets/audio_load#audiofolder; the loader of `datasets` is not used,
since it needs torchcodec even where nothing is decoded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core.errors import DataError
from hftransfer.sources import Folder
from hftransfer.sources.csv import Csv

if TYPE_CHECKING:
    from datasets import Dataset

_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus"}
_TABLE = "metadata.csv"


class Audiofolder(Folder):
    """Columns: `audio` (not decoded), and `label` or those of metadata.csv."""

    def load(self) -> dict[str, Dataset]:
        folders = self.split_folders()
        with_table = {split: folder for split, folder in folders.items() if (folder / _TABLE).is_file()}
        if with_table:
            return {split: _from_table(folder) for split, folder in with_table.items()}
        files = {
            split: [file for file in sorted(folder.glob("*/*")) if file.suffix.lower() in _SUFFIXES]
            for split, folder in folders.items()
        }
        labels = sorted({file.parent.name for recordings in files.values() for file in recordings})
        if not labels:
            raise DataError(
                f"data.source.path: there are no recordings in class folders (such as train/yes/1.wav), and no {_TABLE}"
                f", in '{self.path}'"
            )
        return {split: _from_classes(recordings, labels) for split, recordings in files.items() if recordings}


def _from_table(folder: Path) -> Dataset:
    """The recordings that a table names, with its other columns."""
    rows = Csv(train=str(folder / _TABLE)).load()["train"]
    if "file_name" not in rows.column_names:
        raise DataError(f"data.source.path: '{folder / _TABLE}' has no column 'file_name'")
    files = [folder / str(name) for name in rows["file_name"][:]]
    columns = [name for name in rows.column_names if name not in ("file_name", "audio")]
    return _with_audio(rows.select_columns(columns) if columns else None, files)


def _from_classes(files: list[Path], labels: list[str]) -> Dataset:
    """The recordings of a split, each labelled by its folder."""
    from datasets import ClassLabel, Dataset, Features

    numbers = [labels.index(file.parent.name) for file in files]
    return _with_audio(Dataset.from_dict({"label": numbers}, Features({"label": ClassLabel(names=labels)})), files)


def _with_audio(rows: Dataset | None, files: list[Path]) -> Dataset:
    """Rows with a column of recordings, by their paths; None: with that column alone.

    Paths are stored as structs and cast to Audio afterwards, since encoding a recording needs torchcodec.
    """
    from datasets import Audio, Dataset, Features, Value

    recordings = [{"path": str(file), "bytes": None} for file in files]
    stored = {"bytes": Value("binary"), "path": Value("string")}
    if rows is None:
        rows = Dataset.from_dict({"audio": recordings}, Features({"audio": stored}))
    else:
        rows = rows.add_column("audio", recordings, feature=stored)
    return rows.cast_column("audio", Audio(decode=False))
