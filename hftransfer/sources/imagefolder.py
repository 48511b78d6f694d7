"""Images in folders: `FOLDER/SPLIT/CLASS/*.png`, or `FOLDER/CLASS/*.png` with one split, `train`.

https://huggingface.co/docs/datasets/image_load#imagefolder
"""

from pathlib import Path
from typing import Any

from hftransfer.core.features import class_names
from hftransfer.sources import Folder, read_with_datasets


class Imagefolder(Folder):
    """Columns: `image`, `label`, and those of a metadata.csv beside the images."""

    def load(self) -> dict[str, Any]:
        # By itself the loader takes the word `train` anywhere in a path for a split, and `Train` for none.
        folders = self.splits()
        found = {split: _read(folder) for split, folder in folders.items()}
        if any("label" in rows.features for rows in found.values()):
            # Of a single folder the loader makes no class.
            alone = {split for split, rows in found.items() if "label" not in rows.features}
            found |= {split: _read(folders[split], drop_labels=False) for split in alone}
        return _of_one_numbering(found)


def _read(folder: Path, **options: Any) -> Any:
    return read_with_datasets("imagefolder", options, data_files={"train": f"{folder}/**"})["train"]


def _of_one_numbering(splits: dict[str, Any]) -> dict[str, Any]:
    """The splits, whose classes are numbered by the folders of each, with one numbering of all."""
    from datasets import ClassLabel

    given = {split: class_names(rows.features.get("label")) for split, rows in splits.items()}
    names = sorted({name for own in given.values() for name in own or []})

    def renumbered(rows: Any, own: list[str] | None) -> Any:
        if own in (None, names):
            return rows
        numbers = [names.index(own[number]) for number in rows["label"][:]]
        return rows.remove_columns("label").add_column("label", numbers, feature=ClassLabel(names=names))

    return {split: renumbered(rows, given[split]) for split, rows in splits.items()}
