"""What the sources of images with boxes share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

BoxedImage = tuple[Path, list[list[float]], list[str] | list[int]]
"""An image's file, its boxes (left, top, width, height in pixels), and the class name or number of each box."""

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


def box_rows(images: Iterable[BoxedImage], names: list[str]) -> Dataset:
    """Images with their boxes as rows: `image`, `objects` (`bbox`, `category`)."""
    from datasets import ClassLabel, Dataset, Features, Image, List, Value

    objects = {"bbox": List(List(Value("float32"))), "category": List(ClassLabel(names=names))}
    rows = [
        {"image": {"path": str(file), "bytes": None}, "objects": {"bbox": boxes, "category": categories}}
        for file, boxes, categories in images
    ]
    return Dataset.from_list(rows, features=Features({"image": Image(), "objects": objects}))
