"""Boxes as YOLO writes them: a text file for each image, a line `class x y width height` for each box, in shares.

https://docs.ultralytics.com/datasets/detect/. The text file has the image's path with `labels` for `images`, or is in
the image's folder. Splits are those of the folder's data.yaml, or folders: `images/train`, `train/images`, `train`.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import yaml

from hftransfer.core.errors import DataError
from hftransfer.sources import Folder
from hftransfer.sources._image_boxes import BoxedImage, box_rows, oriented_size
from hftransfer.sources._listing import IMAGES, Media, files_below
from hftransfer.sources._split_names import SPLITS, split_of
from hftransfer.sources._text_files import read_lines
from hftransfer.tasks._boxes import OVER, corners

if TYPE_CHECKING:
    from datasets import Dataset

_MAX_CLASSES = 10_000

Box = tuple[int, list[float]]
"""Class number, and (left, top, right, bottom) as shares of the image."""


@dataclass(frozen=True)
class _DataYaml:
    """The folder's YAML file, https://docs.ultralytics.com/datasets/detect/#ultralytics-yolo-format."""

    file: Path | None = None
    names: tuple[str, ...] = ()
    places: tuple[tuple[str, list[str]], ...] = ()
    """Split -> folders, or lists of files, of its images."""
    has_keypoints: bool = False
    """Whether lines go on with keypoints after the box."""


class Yolo(Folder):
    """Columns: `image`, `objects` (`bbox`: left, top, width, height in pixels; `category`); outlines become boxes.

    Class names are those of data.yaml or of classes.txt, else the class numbers. An image without a text file has no
    boxes.
    """

    media: ClassVar[Media] = IMAGES
    fixed_layout: ClassVar[bool] = True
    annotations: ClassVar[tuple[str, ...]] = (".txt", ".yaml", ".yml", ".names", ".data", ".cache", ".json")

    def read_folder(self) -> dict[str, Dataset]:
        root = self.root()
        config = _data_yaml(root)
        config = replace(config, places=self._present(root, config))
        images = _images(root, config)
        self._tell_of_lost_boxes(root, [image for files in images.values() for image in files])
        boxes = {split: [(image, _boxes(image, config.has_keypoints)) for image in images[split]] for split in images}
        names = config.names or _listed_names(root)
        names = _checked_names(root, names, [row for rows in boxes.values() for row in rows])
        return {split: box_rows([_in_pixels(*row) for row in rows], list(names)) for split, rows in boxes.items()}

    def _tell_of_lost_boxes(self, root: Path, images: list[Path]) -> None:
        """Warn of text files of boxes that belong to no image, whose own image then has none."""
        texts = {text for text in map(_text_file, images) if text.is_file()}
        folders = {text.parent for text in texts}
        beside = [file for file in files_below(root) if file.suffix == ".txt" and file.parent in folders]
        lost = [file for file in beside if file not in texts and _has_a_box(file)]
        if lost:
            bare = sum(_text_file(image) not in texts for image in images)
            self.warn(
                f"{len(lost)} text files of boxes belong to no image, first '{lost[0]}', and {bare} of {len(images)} "
                "images have no text file, so no box"
            )

    def _present(self, root: Path, config: _DataYaml) -> tuple[tuple[str, list[str]], ...]:
        """The splits of data.yaml; one for validation or test whose folders are not there is left out and reported.

        Roboflow names three splits whatever an export has.
        """
        present = []
        for split, places in config.places:
            missing = [place for place in places if _place(root, place) is None]
            if split != "train" and len(missing) == len(places):
                self.warn(
                    f"{config.file}: there is no '{missing[0]}' in '{root}', and the split '{split}' is left out: its "
                    "rows are taken from the training rows, unless the folder is put there"
                )
            else:
                present.append((split, places))
        return tuple(present)


def _images(root: Path, config: _DataYaml) -> dict[str, list[Path]]:
    """Split -> its images.

    Raises:
        DataError: an image is in two splits.
    """
    listed = {
        split: [image for place in places for image in _listed(root, config.file, place)]
        for split, places in config.places
    }
    images = {split: files for split, files in (listed or _by_folder(root)).items() if files}
    counts = Counter(image for files in images.values() for image in files)
    if counts and counts.most_common(1)[0][1] > 1:
        raise DataError(f"{config.file}: an image is in two splits: {counts.most_common(1)[0][0]}")
    return images


def _checked_names(root: Path, names: tuple[str, ...], rows: list[tuple[Path, list[Box]]]) -> tuple[str, ...]:
    """The class names, by default the numbers.

    Raises:
        DataError: no image has boxes, or a class has no name.
    """
    largest = {max(number for number, _ in boxes): image for image, boxes in rows if boxes}
    if not largest:
        raise DataError(
            f"data.source.path: none of the {len(rows)} images in '{root}' has boxes, in a text file of its name in "
            "its folder, or in 'labels' where it is in 'images'"
        )
    highest = max(largest)
    names = names or tuple(str(number) for number in range(highest + 1))
    if highest >= len(names):
        raise DataError(
            f"{_text_file(largest[highest])}: a box has the class {highest}; only {len(names)} are named, from 0 on"
        )
    return names


def _data_yaml(root: Path) -> _DataYaml:
    """The YAML file that has `names`, data.yaml before others.

    Raises:
        DataError: the names are not valid.
    """
    for file in sorted([*root.glob("*.yaml"), *root.glob("*.yml")], key=lambda file: (file.stem != "data", file.name)):
        try:
            table = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
        except (yaml.YAMLError, UnicodeDecodeError, OSError):
            # Not every YAML file of a folder describes its images.
            continue
        if isinstance(table, dict) and "names" in table:
            listed = {SPLITS[key]: table[key] for key in SPLITS if table.get(key)}
            places = tuple((split, it if isinstance(it, list) else [str(it)]) for split, it in listed.items())
            return _DataYaml(file, _names(file, table["names"]), places, "kpt_shape" in table)
    return _DataYaml()


def _names(file: Path, names: object) -> tuple[str, ...]:
    """The class names of a YAML file: a list, or a mapping from numbers."""
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
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{file}: two classes have the name '{repeated[0]}'")
    return tuple(names)


def _listed_names(root: Path) -> tuple[str, ...]:
    """The classes of classes.txt or a file `.names`, one a line, as LabelImg and Darknet write them."""
    lists: dict[tuple[str, ...], Path] = {}
    for file in (file for file in files_below(root) if file.name == "classes.txt" or file.suffix == ".names"):
        lines = file.read_text(encoding="utf-8-sig", errors="replace").rstrip().splitlines()
        lists.setdefault(_distinct(file, [line.strip() for line in lines]), file)
    if len(lists) > 1:
        raise DataError(f"data.source.path: {' and '.join(map(str, lists.values()))} name different classes")
    return next(iter(lists), ())


def _listed(root: Path, file: Path | None, place: str) -> list[Path]:
    """The images of a place in data.yaml."""
    path = _place(root, place)
    if path is None:
        raise DataError(f"{file}: there is no '{place}' in '{root}'; leave out a split that does not exist")
    if path.is_dir():
        return _image_files(path)
    if path.suffix != ".txt":
        return [path]
    return [image for line in read_lines(str(path)) if line.strip() for image in _listed(root, path, line.strip())]


def _place(root: Path, place: str) -> Path | None:
    """The longest end of a place in data.yaml that exists in the folder: it was often written on another machine."""
    parts = [part for part in Path(str(place)).parts if part not in ("..", os.sep)]
    candidates = [root.joinpath(*parts[start:]) for start in range(len(parts))]
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _image_files(folder: Path) -> list[Path]:
    """All images below a folder, except in the output of a YOLO training (`runs`)."""
    return [image for image in IMAGES.below(folder) if "runs" not in image.relative_to(folder).parts[:-1]]


def _by_folder(root: Path) -> dict[str, list[Path]]:
    """Split -> its images, by the names of their folders.

    Raises:
        DataError: some images are in folders of splits, and one with boxes is not.
    """
    images: dict[str | None, list[Path]] = {}
    for image in _image_files(root):
        named = [split for folder in image.relative_to(root).parts[:-1] if (split := split_of(folder))]
        images.setdefault(named[-1] if named else None, []).append(image)
    without_split = images.pop(None, [])
    if not images:
        return {"train": without_split}
    for image in without_split:
        if _text_file(image).is_file():
            raise DataError(f"data.source.path: '{image}' has boxes, and is in no folder train, valid or test")
    return {split: files for split, files in images.items() if split}


def _text_file(image: Path) -> Path:
    """Where the boxes of an image are written."""
    places = [number for number, part in enumerate(image.parts[:-1]) if part.lower() == "images"]
    if places:
        parallel = Path(*image.parts[: places[-1]], "labels", *image.parts[places[-1] + 1 :]).with_suffix(".txt")
        if parallel.is_file():
            return parallel
    return image.with_suffix(".txt")


def _has_a_box(file: Path) -> bool:
    """Whether the first line of a text file has the shape of a box."""
    words = file.read_text(encoding="utf-8-sig", errors="replace").partition("\n")[0].split()
    try:
        return len([*map(float, words)]) >= 5
    except ValueError:
        return False


def _boxes(image: Path, has_keypoints: bool) -> list[Box]:
    """The boxes of an image; equal lines count once."""
    text = _text_file(image)
    if not text.is_file():
        return []
    first_places: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if line.strip():
            first_places.setdefault(tuple(line.split()), number)
    return [_box(f"{text}:{number}", words, has_keypoints) for words, number in first_places.items()]


def _box(place: str, words: tuple[str, ...], has_keypoints: bool) -> Box:
    """The box of a line; of an outline (x y x y ...), the smallest one around it."""
    line = f"{place}: '{' '.join(words):.60}'"
    try:
        number, *shares = map(float, words)
    except ValueError:
        raise DataError(f"{line} is not the number of a class and shares of an image") from None
    shares = shares[:4] if has_keypoints else shares
    is_outline = len(shares) >= 6 and len(shares) % 2 == 0
    if not number.is_integer() or not 0 <= number < _MAX_CLASSES or not (len(shares) == 4 or is_outline):
        raise DataError(f"{line} is not the number of a class and four shares, or the points of an outline")
    if is_outline:
        across, down = shares[::2], shares[1::2]
        left, top, right, bottom = min(across), min(down), max(across), max(down)
    else:
        left, top, right, bottom = corners([shares], (1, 1), "yolo")[0].tolist()
    if not (-OVER <= left < right <= 1 + OVER and -OVER <= top < bottom <= 1 + OVER):
        raise DataError(f"{line} is no box within the image, whose sides are 1")
    return int(number), [left, top, right, bottom]


def _in_pixels(image: Path, boxes: list[Box]) -> BoxedImage:
    # An unreadable image is reported with its row.
    width, height, _ = oriented_size(image) or (1, 1, False)
    scaled = [(left * width, top * height, right * width, bottom * height) for _, (left, top, right, bottom) in boxes]
    bbox = [[left, top, right - left, bottom - top] for left, top, right, bottom in scaled]
    return BoxedImage(image, bbox, [number for number, _ in boxes])
