"""Recordings in folders: `FOLDER/SPLIT/CLASS/*.wav`, or `FOLDER/CLASS/*.wav` with one split, `train`; or, in place of
classes, a metadata.csv in the folder of a split, whose column `file_name` says of which recording a line is.

Laid out as https://huggingface.co/docs/datasets/audio_load#audiofolder; the loader of `datasets` itself is not used,
since it asks for torchcodec even where nothing is decoded.
"""

from pathlib import Path
from typing import Any

from hftransfer.core.errors import DataError
from hftransfer.sources import Folder
from hftransfer.sources.csv import Csv

_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus"}
_TABLE = "metadata.csv"


class Audiofolder(Folder):
    """Columns: `audio` (not decoded), and `label` or those of metadata.csv."""

    def load(self) -> dict[str, Any]:
        folders = self.splits()
        tables = {split: folder for split, folder in folders.items() if (folder / _TABLE).is_file()}
        if tables:
            return {split: _of_table(folder) for split, folder in tables.items()}
        found = {
            split: [file for file in sorted(folder.glob("*/*")) if file.suffix.lower() in _SUFFIXES]
            for split, folder in folders.items()
        }
        labels = sorted({file.parent.name for files in found.values() for file in files})
        if not labels:
            raise DataError(
                f"data.source.path: no recordings in class folders (such as train/yes/1.wav), and no {_TABLE} beside "
                f"them, in '{self.path}'"
            )
        return {split: _of_classes(files, labels) for split, files in found.items() if files}


def _of_table(folder: Path) -> Any:
    """The recordings that a table names, with the other columns of it."""
    rows = Csv(train=str(folder / _TABLE)).load()["train"]
    if "file_name" not in rows.column_names:
        raise DataError(f"data.source.path: '{folder / _TABLE}' has no column 'file_name'")
    files = [folder / str(name) for name in rows["file_name"][:]]
    kept = [name for name in rows.column_names if name not in ("file_name", "audio")]
    return _recordings(rows.select_columns(kept) if kept else None, files)


def _of_classes(files: list[Path], labels: list[str]) -> Any:
    """The recordings of a split, each in the folder of its class."""
    from datasets import ClassLabel, Dataset, Features

    numbers = [labels.index(file.parent.name) for file in files]
    return _recordings(Dataset.from_dict({"label": numbers}, Features({"label": ClassLabel(names=labels)})), files)


def _recordings(rows: Any, files: list[Path]) -> Any:
    """Rows with a column of recordings, by their paths.

    Paths are stored as they are, and called audio after that: to encode a recording wants torchcodec as well.
    """
    from datasets import Audio, Dataset, Features, Value

    cells = [{"path": str(file), "bytes": None} for file in files]
    stored = {"bytes": Value("binary"), "path": Value("string")}
    if rows is None:
        made = Dataset.from_dict({"audio": cells}, Features({"audio": stored}))
    else:
        made = rows.add_column("audio", cells, feature=stored)
    return made.cast_column("audio", Audio(decode=False))
