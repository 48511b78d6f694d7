"""Boxes in COCO's JSON (https://cocodataset.org/#format-data), as annotation tools and Roboflow export them.

`FOLDER/SPLIT/*.json` beside the images, `FOLDER/annotations/*SPLIT*.json`, or `FOLDER/SPLIT.json`; the images lie
beside the JSON, in FOLDER, in FOLDER/SPLIT (its year behind it), or in FOLDER/images.
"""

import json
from pathlib import Path
from typing import Any

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import natural, nearest
from hftransfer.sources import Folder
from hftransfer.sources._pictures import boxed, seen_size

_FIELDS = {
    "images": ("id", "file_name"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}
_SPLITS = {"train": ("train",), "validation": ("valid", "val", "dev"), "test": ("test",)}


class Coco(Folder):
    """Columns: `image`, `objects` (`bbox`: left, top, width, height in pixels; `category`). Crowds are left out."""

    def load(self) -> dict[str, Any]:
        root = self.root()
        tables = {split: (file, _read(file)) for split, file in _files(root).items()}
        if not tables:
            raise DataError(
                f"data.source.path: no COCO JSON in '{self.path}', such as train/_annotations.coco.json or "
                "annotations/instances_train.json"
            )
        # Each file numbers its categories by itself.
        listed = [(c["id"], c["name"]) for _, table in tables.values() for c in table["categories"]]
        names = list(dict.fromkeys(name for _, name in sorted(listed, key=lambda one: natural(str(one[0])))))
        return {split: boxed(_rows(file, table, root, split), names) for split, (file, table) in tables.items()}


def _files(root: Path) -> dict[str, Path]:
    """Split -> its JSON file.

    Raises:
        DataError: there are several, and nothing tells which is meant.
    """
    found: dict[str, Path] = {}
    for split, stems in _SPLITS.items():
        files = [
            file
            for file in sorted([*root.glob("*.json"), *root.glob("*/*.json")])
            if any(stem in file.name.lower() or file.parent.name.lower().startswith(stem) for stem in stems)
        ]
        boxed = [f for f in files if "instances" in f.name] or files
        if len(boxed) > 1:
            raise DataError(f"data.source.path: several files could be '{split}': {', '.join(map(str, boxed))}")
        if boxed:
            found[split] = boxed[0]
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(table, dict) or not isinstance(table.get(key), list):
            raise DataError(f"{file} is not COCO: it has no list '{key}'")
        _refuse_holes(file, key, table[key])
    return dict(table)


def _refuse_holes(file: Path, key: str, entries: list[Any]) -> None:
    for number, entry in enumerate(entries):
        for field in _FIELDS[key]:
            if not isinstance(entry, dict) or entry.get(field) is None:
                raise DataError(f"{file}: entry {number} of '{key}' has no '{field}'")
        box = entry.get("bbox", [])
        if not isinstance(box, list) or not all(isinstance(side, int | float) for side in box):
            raise DataError(f"{file}: the bbox of annotation {number} is {box!r:.60}, not four numbers")


def _rows(file: Path, table: dict[str, Any], root: Path, split: str) -> list[tuple[Path, list[Any], list[Any]]]:
    categories = {entry["id"]: entry["name"] for entry in table["categories"]}
    rows: dict[Any, dict[str, list[Any]]] = {image["id"]: {"bbox": [], "category": []} for image in table["images"]}
    for number, annotation in enumerate(table["annotations"]):
        for key, known in (("image_id", rows), ("category_id", categories)):
            if annotation.get(key) not in known:
                raise DataError(f"{file}: annotation {number} has {key} {annotation.get(key)!r}, which is not listed")
        if not annotation.get("iscrowd"):
            rows[annotation["image_id"]]["bbox"].append(annotation["bbox"])
            rows[annotation["image_id"]]["category"].append(categories[annotation["category_id"]])
    folder = _folder(file, [image["file_name"] for image in table["images"]], root, split)
    for image in table["images"]:
        _refuse_other_size(file, image, folder / image["file_name"])
    return [(folder / image["file_name"], *rows[image["id"]].values()) for image in table["images"]]


def _refuse_other_size(file: Path, image: dict[str, Any], picture: Path) -> None:
    """Boxes are in the pixels of the size that the JSON names; a picture is seen as its EXIF orientation turns it."""
    told, seen = (image.get("width"), image.get("height")), seen_size(picture)
    if seen is None:
        # What cannot be read is told with its row.
        return
    *size, turned = seen
    if all(isinstance(side, int) and side > 0 for side in told) and list(told) != size:
        raise DataError(
            f"{file}: the boxes of '{image['file_name']}' are for {told[0]} x {told[1]} pixels, and the picture has "
            f"{size[0]} x {size[1]}" + (" as its EXIF orientation turns it" if turned else "")
        )


def _folder(file: Path, images: list[str], root: Path, split: str) -> Path:
    """Where the images of a split lie.

    Raises:
        DataError: one of them is nowhere.
    """
    stems = _SPLITS[split]
    beside = [p for base in (root, root / "images") for p in sorted(base.glob("*")) if p.is_dir()]
    own = [p for p in beside if p.name.lower().startswith(stems)]
    folders = [file.parent, *own, root, root / "images", file.parent / "images"]
    missing = {folder: [name for name in images if not (folder / name).is_file()] for folder in folders}
    best = min(folders, key=lambda folder: len(missing[folder]))
    if missing[best]:
        name = missing[best][0]
        here = [p.name for p in (best / name).parent.glob("*")] if (best / name).parent.is_dir() else []
        raise DataError(
            f"{file}: {len(missing[best])} of {len(images)} images are not in '{best}', first '{name}'; "
            f"{nearest(name, here).partition('Allowed')[0] or 'the folder has no such file'}".rstrip()
        )
    return best
