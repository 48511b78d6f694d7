"""What the sources of images with boxes share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hftransfer.core.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset


class BoxedImage(NamedTuple):
    """An image's file and its boxes."""

    file: Path
    boxes: list[list[float]]
    """Left, top, width, height in pixels."""
    categories: list[str] | list[int]
    """The class name or number of each box."""
    flags: dict[str, list[bool]] = {}
    """`iscrowd`, `ignore` or `difficult` of each box, which change what it counts for."""


# The EXIF orientations that rotate an image by 90 or 270 degrees.
_QUARTER_TURNS = (5, 6, 7, 8)


def oriented_size(file: Path) -> tuple[int, int, bool] | None:
    """Width and height of an image in pixels after its EXIF orientation, and whether that swaps them.

    Reads the file's header alone; None where that is not possible.
    """
    from PIL import ExifTags, Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            # A PNG whose header has no EXIF would be read to its end in search of it.
            swapped = "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation) in _QUARTER_TURNS
            width, height = image.size[::-1] if swapped else image.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None
    return width, height, swapped


def check_size(source: Path, file: Path, expected: tuple[object, object]) -> None:
    """Refuse an image whose width and height, after its EXIF orientation, are not those that its boxes are for.

    Raises:
        DataError: they differ; `source` is the file with the boxes.
    """
    size = oriented_size(file)
    if size is None or not all(isinstance(side, int) and side > 0 for side in expected):
        # An unreadable image is reported with its row.
        return
    width, height, swapped = size
    if expected != (width, height):
        raise DataError(
            f"{source}: the boxes of '{file.name}' are for {expected[0]} x {expected[1]} pixels, and the image "
            f"has {width} x {height}" + (" after its EXIF orientation" if swapped else "")
        )


def box_rows(images: Sequence[BoxedImage], names: list[str]) -> Dataset:
    """Images with their boxes as rows: `image`, `objects` (`bbox`, `category`, and flags that some image has)."""
    from datasets import ClassLabel, Dataset, Features, Image, List, Value

    flags = list(dict.fromkeys(name for image in images for name in image.flags))
    objects = {"bbox": List(List(Value("float32"))), "category": List(ClassLabel(names=names))}
    objects |= {name: List(Value("bool")) for name in flags}
    rows = [
        {
            "image": {"path": str(image.file), "bytes": None},
            "objects": {"bbox": image.boxes, "category": image.categories}
            | {name: image.flags.get(name, [False] * len(image.boxes)) for name in flags},
        }
        for image in images
    ]
    return Dataset.from_list(rows, features=Features({"image": Image(), "objects": objects}))
