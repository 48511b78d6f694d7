"""What the sources of boxes share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

# The orientations of EXIF that turn a picture by a quarter.
_ON_THEIR_SIDE = (5, 6, 7, 8)


def seen_size(picture: Path) -> tuple[int, int, bool] | None:
    """Width and height in pixels as the EXIF orientation turns the picture, and whether it does; None if unreadable.

    The head of the file alone is read.
    """
    from PIL import ExifTags, Image, UnidentifiedImageError

    try:
        with Image.open(picture) as opened:
            # Where the head tells of none, a PNG would be read to its end to find one.
            turned = "exif" in opened.info and opened.getexif().get(ExifTags.Base.Orientation) in _ON_THEIR_SIDE
            width, height = opened.size[::-1] if turned else opened.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None
    return width, height, turned


def boxed(rows: Iterable[tuple[Path, list[list[float]], list[Any]]], names: list[str]) -> Any:
    """A split of pictures, their boxes (left, top, width, height in pixels), and the name or number of each."""
    from datasets import ClassLabel, Dataset, Features, Image, List, Value

    objects = {"bbox": List(List(Value("float32"))), "category": List(ClassLabel(names=names))}
    table = [
        {"image": {"path": str(picture), "bytes": None}, "objects": {"bbox": boxes, "category": categories}}
        for picture, boxes, categories in rows
    ]
    return Dataset.from_list(table, features=Features({"image": Image(), "objects": objects}))
