"""Boxes in COCO's JSON (https://cocodataset.org/#format-data), as CVAT, Label Studio, Roboflow and make-sense write it.

A JSON belongs to the split that its name or its folder has as a whole word: `train/_annotations.coco.json`,
`annotations/instances_val2017.json`; one without such a word (`result.json`) is `train`. The images are in the folder
of the JSON, in that of the split, or anywhere in the folder by their names.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import natural
from hftransfer.sources import Folder
from hftransfer.sources._image_boxes import BoxedImage, box_rows, check_size
from hftransfer.sources._listing import IMAGES, Finder, Media, files_below
from hftransfer.sources._split_names import split_in, split_of

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
_UNIQUE = (("images", "id"), ("images", "file_name"), ("categories", "id"))
_FLAGS = ("iscrowd", "ignore")


class Coco(Folder):
    """Columns: `image`, `objects` (`bbox`: left, top, width, height in pixels; `category`; `iscrowd` of crowds)."""

    media: ClassVar[Media] = IMAGES
    annotations: ClassVar[tuple[str, ...]] = (".json",)
    fixed_layout: ClassVar[bool] = True

    def read_folder(self) -> dict[str, Dataset]:
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
    # In this order the classes are numbered.
    candidates: dict[str | None, list[Path]] = {split: [] for split in ("train", "validation", "test")}
    for file in files_below(root):
        # COCO lists the images of its test split in files without annotations.
        if file.suffix.lower() == ".json" and not file.name.startswith("image_info"):
            candidates.setdefault(_split(file.relative_to(root)), []).append(file)
    without_split = candidates.pop(None, [])
    candidates["train"] = candidates["train"] or without_split
    return {split: _only_table(split, files) for split, files in candidates.items() if split and files}


def _split(file: Path) -> str | None:
    """The split that a file's name, or one of its folders, tells."""
    return split_in(file.stem) or next(filter(None, map(split_of, reversed(file.parts[:-1]))), None)


def _only_table(split: str, files: list[Path]) -> Path:
    """The JSON file of a split; COCO itself has captions and keypoints in other files."""
    found = [file for file in files if "instances" in file.name] or files
    if len(found) > 1:
        found = [file for file in found if _is_coco(file)] or found
    if len(found) > 1:
        raise DataError(f"data.source.path: several files could be '{split}': {', '.join(map(str, found))}")
    return found[0]


def _is_coco(file: Path) -> bool:
    try:
        table = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    return isinstance(table, dict) and table.keys() >= _FIELDS.keys()


def _read(file: Path) -> Table:
    """The lists of a JSON file, every entry complete and listed once.

    Raises:
        DataError: it is not COCO's JSON.
    """
    try:
        table = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {error}") from None
    for key in _FIELDS:
        if not isinstance(table, dict) or not isinstance(table.get(key), list):
            raise DataError(f"{file} is not COCO: it has no list '{key}'")
        _check_entries(file, key, table[key])
    if not table["images"]:
        raise DataError(f"{file} lists no images")
    for key, field in _UNIQUE:
        for value, count in Counter(entry[field] for entry in table[key]).items():
            if count > 1:
                raise DataError(f"{file}: {count} entries of '{key}' have the {field} {value!r}")
    return dict(table) | {"categories": _used_categories(file, table)}


def _check_entries(file: Path, key: str, entries: list[Any]) -> None:
    for number, entry in enumerate(entries):
        for field in _FIELDS[key]:
            if not isinstance(entry, dict) or entry.get(field) is None:
                raise DataError(f"{file}: entry {number} of '{key}' has no '{field}'")
            if field != "bbox" and not isinstance(entry[field], str if field == "file_name" else str | int):
                raise DataError(f"{file}: entry {number} of '{key}' has the {field} {entry[field]!r:.60}")
        box = entry.get("bbox", [])
        if not isinstance(box, list) or not all(isinstance(side, int | float) for side in box):
            raise DataError(f"{file}: the bbox of annotation {number} is {box!r:.60}, not four numbers")


def _used_categories(file: Path, table: Table) -> list[Entry]:
    """The categories with their names as words; Roboflow lists the group of a class too, by the same name."""
    used = {annotation["category_id"] for annotation in table["annotations"]}
    by_name: dict[str, list[Entry]] = {}
    for entry in table["categories"]:
        by_name.setdefault(str(entry["name"]), []).append({"id": entry["id"], "name": str(entry["name"])})
    categories = []
    for name, entries in by_name.items():
        chosen = [entry for entry in entries if entry["id"] in used] or entries[:1]
        if len(chosen) > 1:
            ids = ", ".join(str(entry["id"]) for entry in chosen)
            raise DataError(f"{file}: {len(chosen)} entries of 'categories' have the name '{name}': {ids}")
        categories += chosen
    return categories


def _images(file: Path, table: Table, root: Path, split: str) -> list[BoxedImage]:
    """The images of a split with their boxes and class names."""
    names = {entry["id"]: entry["name"] for entry in table["categories"]}
    annotations: dict[Any, list[Entry]] = {image["id"]: [] for image in table["images"]}
    for number, annotation in enumerate(table["annotations"]):
        for key, listed in (("image_id", annotations), ("category_id", names)):
            if annotation[key] not in listed:
                raise DataError(f"{file}: annotation {number} has {key} {annotation[key]!r}, which is not listed")
        annotations[annotation["image_id"]].append(annotation)
    flags = [flag for flag in _FLAGS if any(annotation.get(flag) for annotation in table["annotations"])]
    images = []
    for image, path in zip(table["images"], _located(file, table, root, split), strict=True):
        check_size(file, path, (image.get("width"), image.get("height")))
        entries = annotations[image["id"]]
        images.append(
            BoxedImage(
                path,
                [entry["bbox"] for entry in entries],
                [names[entry["category_id"]] for entry in entries],
                {flag: [bool(entry.get(flag)) for entry in entries] for flag in flags},
            )
        )
    return images


def _located(file: Path, table: Table, root: Path, split: str) -> list[Path]:
    """The files of a split's images.

    Raises:
        DataError: some are nowhere in the folder, or in several places.
    """
    names = [image["file_name"].replace("\\", "/") for image in table["images"]]
    files = IMAGES.below(root)
    known = {os.path.normpath(path) for path in files}
    folders = {folder for path in files for folder in path.parents if folder.is_relative_to(root)}
    of_split = sorted(folder for folder in folders if folder != root and split_of(folder.name) == split)
    bases = [file.parent, *of_split, root, root / "images", file.parent / "images"]
    base = max(bases, key=lambda base: sum(os.path.normpath(base / name) in known for name in names))
    finder = Finder(files)
    paths = [finder.find(image["file_name"], base) for image in table["images"]]
    if None in paths:
        missing = [image["file_name"] for image, path in zip(table["images"], paths, strict=True) if path is None]
        raise DataError(
            f"{file}: {len(missing)} of {len(names)} images are not in '{root}', or in several folders of it, first "
            f"'{missing[0]}'"
        )
    return [path for path in paths if path is not None]
