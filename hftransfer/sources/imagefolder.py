"""Images in folders: `FOLDER/SPLIT/CLASS/*.png`, or `FOLDER/CLASS/*.png` with one split, `train`.

https://huggingface.co/docs/datasets/image_load#imagefolder
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core.features import class_names
from hftransfer.sources import Folder, read_with_datasets

if TYPE_CHECKING:
    from datasets import Dataset


class Imagefolder(Folder):
    """Columns: `image`, `label`, and those of a metadata.csv in the folder of the images."""

    def load(self) -> dict[str, Dataset]:
        # The loader alone would take the word `train` anywhere in a path for a split, and `Train` for none.
        folders = self.split_folders()
        splits = {split: _read(folder) for split, folder in folders.items()}
        if any("label" in rows.features for rows in splits.values()):
            # The loader makes no column of labels from a single class folder.
            without = {split for split, rows in splits.items() if "label" not in rows.features}
            splits |= {split: _read(folders[split], drop_labels=False) for split in without}
        return _with_shared_classes(splits)


def _read(folder: Path, **options: Any) -> Dataset:
    return read_with_datasets("imagefolder", options, data_files={"train": f"{folder}/**"})["train"]


def _with_shared_classes(splits: dict[str, Dataset]) -> dict[str, Dataset]:
    """The splits with one numbering of the classes; the loader numbers each split by its own folders."""
    from datasets import ClassLabel

    names_of = {split: class_names(rows.features.get("label")) for split, rows in splits.items()}
    shared = sorted({name for names in names_of.values() for name in names or []})

    def renumbered(rows: Dataset, names: list[str] | None) -> Dataset:
        if names in (None, shared):
            return rows
        numbers = [shared.index(names[number]) for number in rows["label"][:]]
        return rows.remove_columns("label").add_column("label", numbers, feature=ClassLabel(names=shared))

    return {split: renumbered(rows, names_of[split]) for split, rows in splits.items()}
