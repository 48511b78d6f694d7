"""Boxes: how data sets write them, checked and turned into corners; matched; painted on an image."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hftransfer.core.features import CATEGORIES, class_names

_BOXES = ("bbox", "bboxes", "boxes", "box")
# A box may reach over the edge by this much of a side, as rounding makes it; it is cut there.
OVER = 0.01


def parts(objects: Any) -> tuple[list[list[float]], list[Any]]:
    """Boxes and categories of an image, written as columns or as a list of objects, under whichever usual names.

    Raises:
        KeyError: one of the two is not there.
    """
    if isinstance(objects, list):
        if not all(isinstance(one, dict) for one in objects):
            raise TypeError(objects)
        objects = {key: [one[key] for one in objects] for key in objects[0]} if objects else {}
        if not objects:
            return [], []
    if not isinstance(objects, dict):
        raise TypeError(objects)
    return objects[_key(objects, _BOXES)], objects[_key(objects, CATEGORIES)]


def flags(objects: Any) -> tuple[list[Any], list[Any]]:
    """Which boxes are crowds (`iscrowd`), and which are neither to be found nor wrong to find (`ignore`, `difficult`).

    Both are empty where the data set has no such marks.
    """
    crowds, ignored = _marks(objects, "iscrowd"), _marks(objects, "ignore")
    difficult = _marks(objects, "difficult")
    if ignored and difficult:
        ignored = [one or other for one, other in zip(ignored, difficult, strict=True)]
    return crowds, ignored or difficult


def _marks(objects: Any, name: str) -> list[Any]:
    if isinstance(objects, list):
        return [one.get(name) for one in objects] if any(name in one for one in objects) else []
    return list(objects.get(name) or [])


def _key(objects: dict[str, Any], allowed: tuple[str, ...]) -> str:
    for name in allowed:
        if name in objects:
            return name
    raise KeyError(f"the objects have no '{allowed[0]}', only {', '.join(sorted(objects)) or 'nothing'}")


def names(feature: Any) -> list[str] | None:
    """Names that the data set itself gives to its categories."""
    inner = getattr(feature, "feature", feature)
    for name in CATEGORIES:
        if isinstance(inner, dict) and name in inner:
            return class_names(inner[name])
    return None


def named(feature: Any, objects: Any) -> list[tuple[str, bool]]:
    """The label of each box of an image as it was read, and whether it is a crowd or otherwise not to be found."""
    known, numbers = names(feature), parts(objects)[1]
    crowds, ignored = (marks or [0] * len(numbers) for marks in flags(objects))
    labels = [known[number] if known else str(number) for number in numbers]
    return [(label, bool(crowd or other)) for label, crowd, other in zip(labels, crowds, ignored, strict=True)]


def indexed_feature() -> dict[str, Any]:
    """The type of a cell of `indexed`."""
    from datasets import List, Value

    marks = {"iscrowd": List(Value("bool")), "ignore": List(Value("bool"))}
    return {"bbox": List(List(Value("float32"))), "category": List(Value("int64")), **marks}


def indexed(feature: Any, objects: Any, ids: Mapping[str, int], corners: np.ndarray) -> dict[str, list[Any]]:
    """The boxes of an image as their corners, the numbers of their labels, and `iscrowd` and `ignore` of each.

    A crowd of a class that has no box elsewhere can neither be found nor be in the way, and is left out.
    """
    labels = [name for name, _ in named(feature, objects)]
    chosen = [number for number, name in enumerate(labels) if name in ids]
    crowds, ignored = ([bool(marks and marks[number]) for number in chosen] for marks in flags(objects))
    categories = [ids[labels[number]] for number in chosen]
    return {"bbox": corners[chosen].tolist(), "category": categories, "iscrowd": crowds, "ignore": ignored}


def read_corners(objects: Mapping[str, Any]) -> np.ndarray:
    """The boxes of an image as the task has indexed them, shape (boxes, 4)."""
    return np.array(objects["bbox"], dtype=float).reshape(-1, 4)


def to_find(objects: Mapping[str, Any]) -> np.ndarray | slice:
    """Which boxes of an image are to be found: all but those marked `iscrowd` or `ignore`."""
    marks = [np.array(objects[name], dtype=bool) for name in ("iscrowd", "ignore") if name in objects]
    return ~np.any(marks, axis=0) if marks else slice(None)


def corners_to_find(objects: Mapping[str, Any]) -> np.ndarray:
    """The boxes of an image, as the task has indexed them, that are to be found; shape (boxes, 4)."""
    return read_corners(objects)[to_find(objects)]


def row_fault(objects: Any, size: tuple[int, int], box_format: str) -> str | None:
    """Why the boxes of an image of `size` (width, height) cannot be used."""
    try:
        boxes, categories = parts(objects)
    except (KeyError, TypeError, AttributeError) as error:
        return str(error.args[0]) if isinstance(error, KeyError) else f"the objects are {objects!r:.60}, not boxes"
    if len(boxes) != len(categories):
        return f"there are {len(boxes)} boxes and {len(categories)} categories"
    if None in categories:
        return "a box has no category"
    faults = (_box_fault(box, size, box_format) for box in boxes)
    return _marks_fault(objects, len(boxes)) or next((fault for fault in faults if fault), None)


def _marks_fault(objects: Any, count: int) -> str | None:
    for name in ("iscrowd", "ignore", "difficult"):
        if (marks := _marks(objects, name)) and (len(marks) != count or not set(marks) <= {None, 0, 1}):
            return f"{name} is {marks!r:.60}, not 0 or 1 for each of {count} boxes"
    return None


def _box_fault(box: Any, size: tuple[int, int], box_format: str) -> str | None:
    if (
        not isinstance(box, list | tuple)
        or len(box) != 4
        or not all(isinstance(side, int | float) and np.isfinite(side) for side in box)
    ):
        return f"box {box!r:.60} is not four numbers"
    if not _fits(list(box), size, box_format):
        others = [other for other in ("coco", "pascal_voc", "yolo") if _fits(list(box), size, other)]
        hint = f"; it would as {' or '.join(others)} (task.box_format)" if others else ""
        rounded = [round(float(side), 3) for side in box]
        return f"box {rounded} as {box_format} does not lie in the image of {size[0]} x {size[1]} pixels{hint}"

    return None


def _fits(box: list[float], size: tuple[int, int], box_format: str) -> bool:
    """Whether a box has an area and lies in the image, a little over the edge allowed."""
    left, top, right, bottom = _raw_corners(np.array([box], dtype=float), size, box_format)[0] / [*size, *size]
    inside = min(left, top) >= -OVER and max(right, bottom) <= 1 + OVER
    # What ends within the first pixel is a share of the image.
    shares = box_format != "yolo" and max(box) <= 1
    return bool(inside and right > left and bottom > top and not shares)


def _raw_corners(boxes: np.ndarray, size: tuple[int, int], box_format: str) -> np.ndarray:
    first, second = boxes[:, :2], boxes[:, 2:]
    if box_format == "coco":
        return np.hstack([first, first + second])
    if box_format == "yolo":
        return np.hstack([first - second / 2, first + second / 2]) * [*size, *size]
    return boxes


def corners(boxes: list[list[float]], size: tuple[int, int], box_format: str) -> np.ndarray:
    """Boxes as (left, top, right, bottom) in pixels, shape (boxes, 4)."""
    return _raw_corners(np.array(boxes, dtype=float).reshape(-1, 4), size, box_format)


def median_side(boxes: np.ndarray) -> float:
    """The median, over corners of shape (boxes, 4), of the shorter side in pixels; NaN without boxes."""
    return float(np.median((boxes[:, 2:] - boxes[:, :2]).min(axis=1))) if len(boxes) else np.nan


def shares(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Corners, cut at the edge, as (middle x, middle y, width, height) in shares of the image."""
    cut = (boxes / [*size, *size]).clip(0, 1)
    return np.hstack([(cut[:, :2] + cut[:, 2:]) / 2, cut[:, 2:] - cut[:, :2]])


def within(boxes: np.ndarray, part: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (middle and size, in shares) as they stand in a part of the image, and which are half or more in it."""
    left, top, right, bottom = part
    size = np.array([right - left, bottom - top])
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    low, high = ((corner - [left, top]) / size for corner in (low, high))
    cut_low, cut_high = low.clip(0, 1), high.clip(0, 1)
    kept = (cut_high - cut_low).prod(axis=1) >= 0.5 * (high - low).prod(axis=1)
    made = np.hstack([(cut_low + cut_high) / 2, cut_high - cut_low])
    return made[kept], kept


def pairs(mine: list[tuple[str, list[float]]], theirs: list[tuple[str, list[float]]]) -> int:
    """How many boxes of one side have a partner of the same label that covers them by half or more."""
    free, found = list(range(len(theirs))), 0
    for label, box in mine:
        near = [(_overlap(box, theirs[i][1]), i) for i in free if theirs[i][0] == label]
        if near and max(near)[0] >= 0.5:
            free.remove(max(near)[1])
            found += 1
    return found


def _overlap(one: list[float], other: list[float]) -> float:
    """Intersection over union."""
    width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared) if shared else 0.0


def draw(picture: Any, layers: list[tuple[list[tuple[str, float, list[float]]], str]]) -> Any:
    """The picture with boxes and labels, each layer in its colour, its longer side 240 pixels."""
    from PIL import ImageDraw

    scale = 240 / max(picture.size)
    large = picture.resize([max(1, round(side * scale)) for side in picture.size])
    pen = ImageDraw.Draw(large)
    for number, (found, color) in enumerate(layers):
        for label, _, box in found:
            left, top, right, bottom = (scale * side for side in box)
            pen.rectangle([left, top, max(left, right), max(top, bottom)], outline=color, width=2)
            # The second layer's labels stand below its boxes, so that they do not cover the first one's.
            pen.text((left + 3, bottom - 12 if number else top + 1), label, fill=color)
    return large


def model_target(row: dict[str, Any]) -> dict[str, Any]:
    """The boxes of an encoded row as the losses of DETR and YOLOS take them, as tensors."""
    import torch

    return {
        "boxes": torch.tensor(np.asarray(row["boxes"], np.float32)).view(-1, 4),
        "class_labels": torch.tensor(np.asarray(row["class_labels"], np.int64)),
    }
