"""Boxes in Pascal VOC's XML, one file for each image, as LabelImg, CVAT and Roboflow write it too.

Splits are the lists of ImageSets/Main (train.txt, val.txt, test.txt, or trainval.txt), else the folders that hold the
XML files. http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from xml.etree import ElementTree

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import natural
from hftransfer.data.normal_form import nfc
from hftransfer.sources import Folder
from hftransfer.sources._image_boxes import BoxedImage, box_rows, check_size
from hftransfer.sources._image_sets import listed
from hftransfer.sources._listing import IMAGES, Finder, Media, files_below
from hftransfer.sources._split_names import split_of

if TYPE_CHECKING:
    from datasets import Dataset

_SIDES = ("xmin", "ymin", "xmax", "ymax")


class Voc(Folder):
    """Columns: `image`, `objects` (`bbox`: left, top, width, height in pixels, as the corners in the file; `category`;
    `difficult` where an object is)."""

    media: ClassVar[Media] = IMAGES
    fixed_layout: ClassVar[bool] = True
    annotations: ClassVar[tuple[str, ...]] = (".xml", ".txt", ".json", ".pbtxt", ".csv")

    def read_folder(self) -> dict[str, Dataset]:
        root = self.root()
        files = files_below(root)
        tables = [file for file in files if file.suffix.lower() == ".xml"]
        if not tables:
            raise DataError(f"data.source.path: no XML file in '{self.path}', such as Annotations/1.xml")
        finder = Finder(file for file in files if IMAGES.includes(file))
        by_stem = {nfc(file.stem): file for file in tables}
        lists = listed(files, "Main", list(by_stem))
        splits = {split: [by_stem[stem] for stem in stems] for split, stems in lists.items()} or _by_folder(
            tables, root
        )
        images = {split: [_image(file, finder) for file in them] for split, them in splits.items() if them}
        names = {str(name) for them in images.values() for image in them for name in image.categories}
        if not names:
            raise DataError(f"data.source.path: none of the {len(tables)} XML files in '{self.path}' has an object")
        return {split: box_rows(them, sorted(names, key=natural)) for split, them in images.items()}


def _by_folder(tables: list[Path], root: Path) -> dict[str, list[Path]]:
    """Split -> its XML files, by the names of their folders; `train` where they have none."""
    splits: dict[str, list[Path]] = {split: [] for split in ("train", "validation", "test")}
    for file in tables:
        folders = reversed(file.relative_to(root).parts[:-1])
        splits[next(filter(None, map(split_of, folders)), "train")].append(file)
    return splits


def _image(file: Path, finder: Finder) -> BoxedImage:
    """The image of an XML file and its boxes.

    Raises:
        DataError: the file is not VOC's XML, or its image is nowhere in the folder.
    """
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{file} is not XML: {error}") from None
    name = (root.findtext("filename") or "").strip()
    # The name in the file is often that of before a renaming, the file's own never.
    image = finder.find_stem(file.stem, file.parent) or (finder.find(name, file.parent) if name else None)
    if image is None:
        raise DataError(f"{file}: its image '{name or file.stem}' is not in the folder, or in several places of it")
    boxes = [_box(file, number, entry) for number, entry in enumerate(root.findall("object"))]
    size = [root.findtext(f"size/{side}") or "" for side in ("width", "height")]
    check_size(file, image, (_whole(size[0]), _whole(size[1])))
    marks = [(entry.findtext("difficult") or "").strip().lower() for entry in root.findall("object")]
    difficult = [mark in ("1", "true") for mark in marks]
    return BoxedImage(
        image,
        [[left, top, right - left, bottom - top] for _, (left, top, right, bottom) in boxes],
        [category for category, _ in boxes],
        {"difficult": difficult} if any(difficult) else {},
    )


def _whole(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _box(file: Path, number: int, entry: ElementTree.Element) -> tuple[str, list[float]]:
    """The class of an object and its corners."""
    category = nfc((entry.findtext("name") or "").strip())
    if not category:
        raise DataError(f"{file}: object {number} has no name")
    written = [entry.findtext(f"bndbox/{side}") for side in _SIDES]
    try:
        return category, [float(side or "") for side in written]
    except ValueError:
        raise DataError(
            f"{file}: object {number} ({category}) has no bndbox of four numbers ({', '.join(_SIDES)}), but {written}"
        ) from None
