"""Boxes as YOLO has them: beside each image a text file, in it a line `class x y width height` for each box.

https://docs.ultralytics.com/datasets/detect/; a text lies in the folder of its image, or where `labels` stands in its
place for `images`, as Ultralytics (`images/train`, `labels/train`) and Roboflow (`train/images`, `train/labels`) do.
"""

from pathlib import Path
from typing import Any

import yaml

from hftransfer.errors import DataError
from hftransfer.sources import SPLITS, Folder
from hftransfer.sources._pictures import seen_size

_PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
# Files of names, one a line, as LabelImg and Darknet write them.
_LISTS = ("classes.txt", "obj.names")
# A share may be over the edge by this much, as rounding makes it.
_OVER = 0.01

Box = tuple[int, list[float]]


class Yolo(Folder):
    """Columns: `image`, `objects` (`bbox`: left, top, width, height in pixels; `category`); of an outline its box.

    The names of the classes are those of a YAML file with `names`, or of classes.txt; without them, their numbers. An
    image without a text has no boxes.
    """

    def load(self) -> dict[str, Any]:
        from datasets import ClassLabel, Dataset, Features, Image, List, Value

        root = self.root()
        found = {split: [(it, _boxes(it)) for it in images] for split, images in _images(root).items()}
        numbers = {number for rows in found.values() for _, boxes in rows for number, _ in boxes}
        most = max(numbers, default=0)
        names = _names(root) or [str(number) for number in range(most + 1)]
        if most >= len(names):
            raise DataError(
                f"data.source.path: a box has the class {most}, and '{root}' names only {len(names)}, from 0"
            )
        objects = {"bbox": List(List(Value("float32"))), "category": List(ClassLabel(names=names))}
        features = Features({"image": Image(), "objects": objects})
        return {
            split: Dataset.from_list([_row(*pair) for pair in rows], features=features) for split, rows in found.items()
        }


def _images(root: Path) -> dict[str, list[Path]]:
    """Split -> its images.

    Raises:
        DataError: no image has boxes, or one that has is in no split while others are.
    """
    parts: dict[str | None, list[Path]] = {}
    for image in sorted(path for path in root.rglob("*") if path.suffix.lower() in _PICTURES):
        inside = [SPLITS[it.lower()] for it in image.relative_to(root).parts[:-1] if it.lower() in SPLITS]
        parts.setdefault(inside[-1] if inside else None, []).append(image)
    boxed = [image for images in parts.values() for image in images if _text(image).is_file()]
    if not boxed:
        raise DataError(
            f"data.source.path: no image in '{root}' has a text file of boxes beside it, or in 'labels' where it is in "
            "'images'"
        )
    loose = parts.pop(None, [])
    if not parts:
        return {"train": loose}
    for image in loose:
        if image in boxed:
            raise DataError(f"data.source.path: '{image}' has boxes, and is in no folder train, valid or test")
    return {split: images for split, images in parts.items() if split}


def _text(image: Path) -> Path:
    """Where the boxes of an image are written."""
    beside = image.with_suffix(".txt")
    places = [number for number, part in enumerate(image.parts[:-1]) if part.lower() == "images"]
    if beside.is_file() or not places:
        return beside
    return Path(*image.parts[: places[-1]], "labels", *image.parts[places[-1] + 1 :]).with_suffix(".txt")


def _boxes(image: Path) -> list[Box]:
    """Class and corners (left, top, right, bottom) of each box, as shares of the image."""
    text = _text(image)
    if not text.is_file():
        return []
    lines = enumerate(text.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
    return [_box(f"{text}:{number}", line.split()) for number, line in lines if line.strip()]


def _box(place: str, words: list[str]) -> Box:
    try:
        number, shares = int(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        raise DataError(
            f"{place}: '{' '.join(words):.60}' is not the number of a class and shares of an image"
        ) from None
    outline = len(shares) >= 6 and len(shares) % 2 == 0
    if number < 0 or not (len(shares) == 4 or outline):
        raise DataError(f"{place}: '{' '.join(words):.60}' is not a class and four shares, or the points of an outline")
    if not all(-_OVER <= share <= 1 + _OVER for share in shares):
        raise DataError(f"{place}: '{' '.join(words):.60}' has what is no share of an image, from 0 to 1")
    if outline:
        across, down = shares[::2], shares[1::2]
        return number, [min(across), min(down), max(across), max(down)]
    x, y, width, height = shares
    return number, [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def _names(root: Path) -> list[str]:
    """The classes by their numbers; empty where no file names them."""
    for file in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]):
        try:
            told = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DataError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
        names = told.get("names") if isinstance(told, dict) else None
        if isinstance(names, dict):
            if sorted(names) != [*range(len(names))]:
                raise DataError(f"{file}: 'names' should count from 0 to {len(names) - 1}, and has {sorted(names)[:5]}")
            names = [names[number] for number in range(len(names))]
        if names:
            return [str(name) for name in names]
    lists = [file for name in _LISTS for file in sorted(root.rglob(name))]
    return [line.strip() for line in lists[0].read_text(encoding="utf-8").splitlines() if line.strip()] if lists else []


def _row(image: Path, boxes: list[Box]) -> dict[str, Any]:
    seen = seen_size(image)
    # An image that cannot be read is told with its row.
    width, height, _ = seen or (1, 1, False)
    corners = [(left * width, top * height, right * width, bottom * height) for _, (left, top, right, bottom) in boxes]
    bbox = [[left, top, right - left, bottom - top] for left, top, right, bottom in corners]
    return {
        "image": {"path": str(image), "bytes": None},
        "objects": {"bbox": bbox, "category": [number for number, _ in boxes]},
    }
