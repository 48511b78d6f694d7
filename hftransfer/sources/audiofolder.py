"""Recordings in folders: `FOLDER/SPLIT/CLASS/*.wav`, or `FOLDER/CLASS/*.wav` with one split, `train`; or, in place of
classes, a metadata.csv in the folder of a split, whose column `file_name` says of which recording a line is.

Laid out as https://huggingface.co/docs/datasets/audio_load#audiofolder; the loader of `datasets` itself is not used,
since it asks for torchcodec even where nothing is decoded.
"""

import csv
from pathlib import Path
from typing import Any

from hftransfer.errors import DataError
from hftransfer.sources import Folder

_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus"}


class Audiofolder(Folder):
    """Columns: `audio` (not decoded), and `label` or those of metadata.csv."""

    def load(self) -> dict[str, Any]:
        from datasets import Audio, Dataset

        splits = {split: _rows(folder) for split, folder in self.splits().items()}
        if not any(splits.values()):
            raise DataError(
                f"data.source.path: no recordings in class folders (such as train/yes/1.wav), and no metadata.csv, "
                f"in '{self.path}'"
            )
        # Paths are stored as they are, and called audio after that: to encode a recording wants torchcodec as well.
        made = {split: Dataset.from_list(rows, _features(splits)) for split, rows in splits.items()}
        return {split: rows.cast_column("audio", Audio(decode=False)) for split, rows in made.items()}


def _rows(folder: Path) -> list[dict[str, Any]]:
    """Of a split."""
    table = folder / "metadata.csv"
    if not table.is_file():
        found = (file for file in sorted(folder.glob("*/*")) if file.suffix.lower() in _SUFFIXES)
        return [{"audio": {"path": str(file), "bytes": None}, "label": file.parent.name} for file in found]
    with table.open(encoding="utf-8-sig", newline="") as lines:
        read = csv.DictReader(lines)
        if "file_name" not in (read.fieldnames or []):
            raise DataError(f"data.source.path: '{table}' has no column 'file_name'")
        return [{"audio": {"path": str(folder / line.pop("file_name")), "bytes": None}} | line for line in read]


def _features(splits: dict[str, list[dict[str, Any]]]) -> Any:
    """Names of folders are classes; what a table says are words."""
    from datasets import ClassLabel, Features, Value

    rows = [row for rows in splits.values() for row in rows]
    columns = {name: Value("string") for name in rows[0] if name != "audio"}
    if list(columns) == ["label"]:
        columns["label"] = ClassLabel(names=sorted({row["label"] for row in rows}))
    return Features({"audio": {"bytes": Value("binary"), "path": Value("string")}} | columns)
