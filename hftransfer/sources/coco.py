"""Boxes in COCO's JSON (https://cocodataset.org/#format-data), as annotation tools and Roboflow export them.

The JSON is `FOLDER/SPLIT/*.json`, `FOLDER/annotations/*SPLIT*.json` or `FOLDER/SPLIT.json`; the images are in the
folder of the JSON, in FOLDER, in FOLDER/SPLIT (or SPLIT and a year), or in FOLDER/images.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import natural, nearest
from hftransfer.sources import Folder
from hftransfer.sources._image_boxes import BoxedImage, box_rows, oriented_size

if TYPE_CHECKING:
    from datasets import Dataset

Entry = dict[str, Any]
"""An image, an annotation or a category, as the JSON holds it."""
Table = dict[str, list[Entry]]

_FIELDS = {
    "images": ("id", "file_name"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}
_SPLITS = {"train": ("train",), "validation": ("valid", "val", "dev"), "test": ("test",)}


class Coco(Folder):
    """Columns: `image`, `objects` (`bbox`: left, top, width, height in pixels; `category`). Crowds are left out."""

    def load(self) -> dict[str, Dataset]:
        root = self.root()
        tables = {split: (file, _read(file)) for split, file in _files(root).items()}
        if not tables:
            raise DataError(
                f"data.source.path: no COCO JSON in '{self.path}', such as train/_annotations.coco.json or "
                "annotations/instances_train.json"
            )
        # Each file has its own numbers of categories.
        categories = [(entry["id"], entry["name"]) for _, table in tables.values() for entry in table["categories"]]
        names = list(dict.fromkeys(name for _, name in sorted(categories, key=lambda entry: natural(str(entry[0])))))
        return {split: box_rows(_images(file, table, root, split), names) for split, (file, table) in tables.items()}


def _files(root: Path) -> dict[str, Path]:
    """Split -> its JSON file.

    Raises:
        DataError: several files could be meant.
    """
    chosen: dict[str, Path] = {}
    for split, stems in _SPLITS.items():
        files = [
            file
            for file in sorted([*root.glob("*.json"), *root.glob("*/*.json")])
            if any(stem in file.name.lower() or file.parent.name.lower().startswith(stem) for stem in stems)
        ]
        # COCO itself has captions and keypoints in other files.
        instances = [file for file in files if "instances" in file.name] or files
        if len(instances) > 1:
            raise DataError(f"data.source.path: several files could be '{split}': {', '.join(map(str, instances))}")
        if instances:
            chosen[split] = instances[0]
    return chosen


def _read(file: Path) -> Table:
    """The lists of a JSON file, every entry complete.

    Raises:
        DataError: it is not COCO's JSON.
    """
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}") from None
    for key in _FIELDS:
        if not isinstance(table, dict) or not isinstance(table.get(key), list):
            raise DataError(f"{file} is not COCO: it has no list '{key}'")
        _check_entries(file, key, table[key])
    return dict(table)


def _check_entries(file: Path, key: str, entries: list[Any]) -> None:
    for number, entry in enumerate(entries):
        for field in _FIELDS[key]:
            if not isinstance(entry, dict) or entry.get(field) is None:
                raise DataError(f"{file}: entry {number} of '{key}' has no '{field}'")
        box = entry.get("bbox", [])
        if not isinstance(box, list) or not all(isinstance(side, int | float) for side in box):
            raise DataError(f"{file}: the bbox of annotation {number} is {box!r:.60}, not four numbers")


def _images(file: Path, table: Table, root: Path, split: str) -> list[BoxedImage]:
    """The images of a split with their boxes and class names."""
    names = {entry["id"]: entry["name"] for entry in table["categories"]}
    boxes: dict[Any, list[list[float]]] = {image["id"]: [] for image in table["images"]}
    categories: dict[Any, list[str]] = {image["id"]: [] for image in table["images"]}
    for number, annotation in enumerate(table["annotations"]):
        for key, listed in (("image_id", boxes), ("category_id", names)):
            if annotation[key] not in listed:
                raise DataError(f"{file}: annotation {number} has {key} {annotation[key]!r}, which is not listed")
        if not annotation.get("iscrowd"):
            boxes[annotation["image_id"]].append(annotation["bbox"])
            categories[annotation["image_id"]].append(names[annotation["category_id"]])
    folder = _image_folder(file, [image["file_name"] for image in table["images"]], root, split)
    for image in table["images"]:
        _check_size(file, image, folder / image["file_name"])
    return [(folder / image["file_name"], boxes[image["id"]], categories[image["id"]]) for image in table["images"]]


def _check_size(file: Path, entry: Entry, image: Path) -> None:
    """Raises a DataError unless the image has the size that the JSON gives, after its EXIF orientation."""
    expected, size = (entry.get("width"), entry.get("height")), oriented_size(image)
    if size is None:
        # An unreadable image is reported with its row.
        return
    width, height, swapped = size
    if all(isinstance(side, int) and side > 0 for side in expected) and expected != (width, height):
        raise DataError(
            f"{file}: the boxes of '{entry['file_name']}' are for {expected[0]} x {expected[1]} pixels, and the image "
            f"has {width} x {height}" + (" after its EXIF orientation" if swapped else "")
        )


def _image_folder(file: Path, images: list[str], root: Path, split: str) -> Path:
    """The folder of a split's images.

    Raises:
        DataError: no folder has all of them.
    """
    subfolders = [path for base in (root, root / "images") for path in sorted(base.glob("*")) if path.is_dir()]
    of_split = [folder for folder in subfolders if folder.name.lower().startswith(_SPLITS[split])]
    folders = [file.parent, *of_split, root, root / "images", file.parent / "images"]
    missing = {folder: [name for name in images if not (folder / name).is_file()] for folder in folders}
    best = min(folders, key=lambda folder: len(missing[folder]))
    if missing[best]:
        name = missing[best][0]
        place = (best / name).parent
        files = [path.name for path in place.glob("*")] if place.is_dir() else []
        raise DataError(
            f"{file}: {len(missing[best])} of {len(images)} images are not in '{best}', first '{name}'; "
            f"{nearest(name, files).partition('Allowed')[0] or 'the folder has no such file'}".rstrip()
        )
    return best
