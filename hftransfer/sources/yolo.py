"""Boxes as YOLO has them: for each image a text file, in it a line `class x y width height` for each box, in shares.

https://docs.ultralytics.com/datasets/detect/; a text lies where `labels` stands in its image's place for `images`, or
beside it. The splits are those of the folder's data.yaml, or folders: `images/train`, `train/images`, `train`.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hftransfer.core.errors import DataError
from hftransfer.sources import SPLITS, Folder
from hftransfer.sources._pictures import boxed, seen_size
from hftransfer.tasks._boxes import OVER, corners

_PICTURES = {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
# `train2017` of COCO, `obj_train_data` of Darknet.
_FOLDER = re.compile(rf"(?:obj_)?({'|'.join(SPLITS)})(?:_data|\d{{4}})?", re.IGNORECASE)
_MOST_CLASSES = 10_000

Box = tuple[int, list[float]]


@dataclass(frozen=True)
class _Told:
    """What the folder's YAML says, by https://docs.ultralytics.com/datasets/detect/#ultralytics-yolo-format."""

    file: Path | None = None
    names: tuple[str, ...] = ()
    places: tuple[tuple[str, list[str]], ...] = ()
    """Split -> folders, or lists of files, of its images."""
    points: bool = False
    """Points stand behind each box."""


class Yolo(Folder):
    """Columns: `image`, `objects` (`bbox`: left, top, width, height in pixels; `category`); of an outline its box.

    The names of the classes are those of data.yaml, or of classes.txt; without them, their numbers. An image without a
    text has no boxes.
    """

    def load(self) -> dict[str, Any]:
        root = self.root()
        told = _told(root)
        images = {split: [it for place in of for it in _listed(root, told.file, place)] for split, of in told.places}
        images = {split: of for split, of in (images or _by_folder(root)).items() if of}
        every = [image for of in images.values() for image in of]
        if len(set(every)) < len(every):
            raise DataError(f"{told.file}: an image is in two splits: {Counter(every).most_common(1)[0][0]}")
        found = {split: [(it, _boxes(it, told.points)) for it in of] for split, of in images.items()}
        largest = {max(number for number, _ in boxes): it for of in found.values() for it, boxes in of if boxes}
        if not largest:
            raise DataError(
                f"data.source.path: none of the {len(every)} images in '{root}' has boxes in a text file beside it, or "
                "in 'labels' where it is in 'images'"
            )
        most = max(largest)
        names = told.names or _listed_names(root) or tuple(str(number) for number in range(most + 1))
        if most >= len(names):
            raise DataError(
                f"{_text(largest[most])}: a box has the class {most}; only {len(names)} are named, from 0 on"
            )
        return {split: boxed((_row(*pair) for pair in rows), list(names)) for split, rows in found.items()}


def _told(root: Path) -> _Told:
    """Of the YAML file that has `names`, data.yaml before others.

    Raises:
        DataError: its names are none.
    """
    for file in sorted([*root.glob("*.yaml"), *root.glob("*.yml")], key=lambda it: (it.stem != "data", it.name)):
        try:
            table = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
        except (yaml.YAMLError, UnicodeDecodeError, OSError):
            # Not every YAML of a folder is about its images.
            continue
        if isinstance(table, dict) and "names" in table:
            given = {SPLITS[key]: table[key] for key in SPLITS if table.get(key)}
            places = tuple((split, it if isinstance(it, list) else [str(it)]) for split, it in given.items())
            return _Told(file, _names(file, table["names"]), places, "kpt_shape" in table)
    return _Told()


def _names(file: Path, names: Any) -> tuple[str, ...]:
    if isinstance(names, dict):
        try:
            names = {int(number): name for number, name in names.items()}
        except (TypeError, ValueError):
            raise DataError(f"{file}: 'names' should have numbers for keys, and has {list(names)[:5]}") from None
        if sorted(names) != [*range(len(names))]:
            raise DataError(f"{file}: 'names' should count from 0 to {len(names) - 1}, and has {sorted(names)[:5]}")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: 'names' should be a list of the classes, and is {names!r:.60}")
    return _distinct(file, [str(name) for name in names])


def _distinct(file: Path, names: list[str]) -> tuple[str, ...]:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{file}: two classes have the name '{twice[0]}'")
    return tuple(names)


def _listed_names(root: Path) -> tuple[str, ...]:
    """The classes of classes.txt or a file `.names`, one a line, as LabelImg and Darknet write them."""
    found: dict[tuple[str, ...], Path] = {}
    for file in sorted([*root.rglob("classes.txt"), *root.rglob("*.names")]):
        lines = file.read_text(encoding="utf-8-sig", errors="replace").rstrip().splitlines()
        found.setdefault(_distinct(file, [line.strip() for line in lines]), file)
    if len(found) > 1:
        raise DataError(f"data.source.path: {' and '.join(map(str, found.values()))} name other classes")
    return next(iter(found), ())


def _listed(root: Path, file: Path | None, place: str) -> list[Path]:
    """The images of a place in data.yaml; often written for another machine: of its end, the longest that is here."""
    parts = [part for part in Path(str(place)).parts if part not in ("..", os.sep)]
    here = [root.joinpath(*parts[start:]) for start in range(len(parts))]
    found = next((it for it in here if it.exists()), None)
    if found is None:
        raise DataError(f"{file}: there is no '{place}' in '{root}'; leave out a split that is not there")
    if found.is_dir():
        return sorted(_pictures(found))
    if found.suffix != ".txt":
        return [found]
    lines = found.read_text(encoding="utf-8-sig").splitlines()
    return [it for line in lines if line.strip() for it in _listed(root, found, line.strip())]


def _pictures(folder: Path) -> Iterator[Path]:
    """All below a folder, but those in hidden ones and in what a training of YOLO left there."""
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(it for it in folders if not it.startswith((".", "__")) and it != "runs")
        yield from (Path(place, it) for it in files if Path(it).suffix.lower() in _PICTURES and it[0] != ".")


def _by_folder(root: Path) -> dict[str, list[Path]]:
    """Split -> its images, by the names of their folders.

    Raises:
        DataError: an image that has boxes is in no split while others are.
    """
    parts: dict[str | None, list[Path]] = {}
    for image in sorted(_pictures(root)):
        named = [match[1] for it in image.relative_to(root).parts[:-1] if (match := _FOLDER.fullmatch(it))]
        parts.setdefault(SPLITS[named[-1].lower()] if named else None, []).append(image)
    loose = parts.pop(None, [])
    if not parts:
        return {"train": loose}
    for image in loose:
        if _text(image).is_file():
            raise DataError(f"data.source.path: '{image}' has boxes, and is in no folder train, valid or test")
    return {split: images for split, images in parts.items() if split}


def _text(image: Path) -> Path:
    """Where the boxes of an image are written."""
    places = [number for number, part in enumerate(image.parts[:-1]) if part.lower() == "images"]
    if places:
        apart = Path(*image.parts[: places[-1]], "labels", *image.parts[places[-1] + 1 :]).with_suffix(".txt")
        if apart.is_file():
            return apart
    return image.with_suffix(".txt")


def _boxes(image: Path, points: bool) -> list[Box]:
    """Class and corners (left, top, right, bottom) of each box, as shares of the image; the same line counts once."""
    text = _text(image)
    if not text.is_file():
        return []
    first: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if line.strip():
            first.setdefault(tuple(line.split()), number)
    return [_box(f"{text}:{number}", words, points) for words, number in first.items()]


def _box(place: str, words: tuple[str, ...], points: bool) -> Box:
    line = f"{place}: '{' '.join(words):.60}'"
    try:
        number, *shares = map(float, words)
    except ValueError:
        raise DataError(f"{line} is not the number of a class and shares of an image") from None
    shares = shares[:4] if points else shares
    outline = len(shares) >= 6 and len(shares) % 2 == 0
    if not number.is_integer() or not 0 <= number < _MOST_CLASSES or not (len(shares) == 4 or outline):
        raise DataError(f"{line} is not the number of a class and four shares, or the points of an outline")
    if outline:
        across, down = shares[::2], shares[1::2]
        left, top, right, bottom = min(across), min(down), max(across), max(down)
    else:
        left, top, right, bottom = corners([shares], (1, 1), "yolo")[0].tolist()
    if not (-OVER <= left < right <= 1 + OVER and -OVER <= top < bottom <= 1 + OVER):
        raise DataError(f"{line} is no box within the image, whose sides are 1")
    return int(number), [left, top, right, bottom]


def _row(image: Path, boxes: list[Box]) -> tuple[Path, list[list[float]], list[int]]:
    # An image that cannot be read is told with its row.
    width, height, _ = seen_size(image) or (1, 1, False)
    scaled = [(left * width, top * height, right * width, bottom * height) for _, (left, top, right, bottom) in boxes]
    bbox = [[left, top, right - left, bottom - top] for left, top, right, bottom in scaled]
    return image, bbox, [number for number, _ in boxes]
