"""Tasks of Label Studio in its exports JSON and JSON-MIN (https://labelstud.io/guide/export): choices, spans, boxes.

Of a task with several annotations, the first that was not skipped is read.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import unquote

from hftransfer.core.errors import DataError
from hftransfer.sources import Files
from hftransfer.sources._listing import IMAGES, RECORDINGS, Finder, files_below
from hftransfer.sources._records import Row, records, tagged, to_datasets
from hftransfer.sources._spans import Span

if TYPE_CHECKING:
    from datasets import Dataset

_SPANS = ("labels", "hypertextlabels", "paragraphlabels")
_BOXES = "rectanglelabels"
_NUMBERS = ("rating", "number")
# Numbers of JSON-MIN that say nothing of the data.
_OF_THE_TOOL = ("id", "annotator", "annotation_id", "lead_time")
# Label Studio puts eight digits before the name of an uploaded file.
_UPLOADED = re.compile(r"[0-9a-f]{8}-")


class _Task(NamedTuple):
    """Where a task is written, its data, and the regions and choices of its annotation."""

    place: str
    data: dict[str, str]
    regions: list[Row]


class LabelStudio(Files):
    """Columns: the task's data (`text`, `image`), the choices by the name of their tag, `tokens` and `tags` of spans,
    `objects` (`bbox`: left, top, width, height in pixels; `category`) of rectangles."""

    local_files: ClassVar[tuple[str, ...]] = (*Files.local_files, "folder")
    fixed_layout: ClassVar[bool] = True

    folder: str | None = None
    """Where the images and recordings lie; by default the folder of the JSON file."""

    def load(self) -> dict[str, Dataset]:
        tasks = {
            split: [it for file in files for it in self._tasks(Path(file))] for split, files in self._paths().items()
        }
        key = next(filter(None, (_text_key(task) for them in tasks.values() for task in them)), None)
        unread: Counter[str] = Counter()
        splits = {split: [_row(task, key, unread) for task in them] for split, them in tasks.items()}
        for kind, count in unread.items():
            self.warn(f"data.source: {count} annotations of the type '{kind}' are left out")
        return to_datasets(splits)

    def _tasks(self, file: Path) -> Iterator[_Task]:
        """The tasks of a file that have an annotation, their files found in the folder."""
        folder = Path(self.folder).expanduser() if self.folder else file.parent
        finder = Finder(path for path in files_below(folder) if IMAGES.includes(path) or RECORDINGS.includes(path))
        left_out = 0
        for place, entry in records(file):
            data, regions = _contents(place, entry)
            left_out += regions is None
            if regions is not None:
                yield _Task(place, {key: _located(value, finder, folder) for key, value in data.items()}, regions)
        if left_out:
            self.warn(f"data.source: {left_out} tasks of {file} without an annotation are left out")


def _contents(place: str, entry: dict[str, Any]) -> tuple[dict[str, str], list[Row] | None]:
    """The data of a task and what was annotated; None where nothing was."""
    annotations = entry.get("annotations", entry.get("completions"))
    if isinstance(entry.get("data"), dict) and isinstance(annotations, list):
        data = _columns(entry["data"])
        done = [it for it in annotations if isinstance(it, dict) and not it.get("was_cancelled")]
        regions = done[0].get("result") or [] if done else None
        if regions is not None and not (isinstance(regions, list) and all(isinstance(it, dict) for it in regions)):
            raise DataError(f"{place}: the result of its annotation is {regions!r:.60}, not a list of regions")
        return data, regions
    data = _columns({key: value for key, value in entry.items() if key not in _OF_THE_TOOL})
    flat: list[Row] = []
    for name, value in entry.items():
        for region in value if isinstance(value, list) else [value]:
            if isinstance(region, dict):
                kind = next((key for key in ("choices", *_SPANS, _BOXES) if key in region), "region")
                flat.append({"from_name": name, "type": kind, "value": region, **region})
    if not data:
        raise DataError(f"{place} is no task of Label Studio: it has no 'data' and 'annotations', and no text")
    return data, flat


def _columns(data: dict[str, Any]) -> dict[str, str]:
    """The texts and numbers of a task."""
    numbers = {key for key, value in data.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    return {key: str(value) for key, value in data.items() if isinstance(value, str) or key in numbers}


def _located(value: str, finder: Finder, folder: Path) -> str:
    """The file that an address of Label Studio means, where it is one: `/data/upload/1/0a1b2c3d-cat.jpg`."""
    name = unquote(value.partition("?d=")[2] or value.partition("?")[0])
    if any(letter.isspace() for letter in value) or not Path(name).suffix[1:].isalnum():
        return value
    file = finder.find(name, folder) or finder.find(_UPLOADED.sub("", Path(name).name, count=1), folder)
    return str(file) if file else value


def _is_span(region: Row) -> bool:
    value = region.get("value")
    return region.get("type") in _SPANS and isinstance(value, dict) and "start" in value


def _text_key(task: _Task) -> str | None:
    """The key of the text that the spans of a task are of, None where it has none."""
    for region in filter(_is_span, task.regions):
        value, named = region["value"], str(region.get("to_name"))
        texts = {key: text for key, text in task.data.items() if isinstance(value["start"], int)}
        fits = [key for key, text in texts.items() if text[value["start"] : value.get("end")] == value.get("text")]
        return (
            named if named in task.data else next(iter(fits), max(texts, key=lambda key: len(texts[key]), default=None))
        )
    return None


def _row(task: _Task, text_key: str | None, unread: Counter[str]) -> Row:
    """The columns of a task: its data and what was annotated."""
    row: Row = dict(task.data)
    for region in task.regions:
        kind, value = region.get("type"), region.get("value")
        labels = value.get(kind) if isinstance(value, dict) else None
        if kind == "choices" and isinstance(labels, list):
            row.setdefault(str(region.get("from_name")), []).extend(map(str, labels))
        elif kind in _NUMBERS and isinstance(labels, int | float):
            row[str(region.get("from_name"))] = str(labels)
        elif kind == _BOXES and isinstance(labels, list):
            objects = row.setdefault("objects", {"bbox": [], "category": []})
            objects["bbox"].append(_box(task.place, region))
            objects["category"].append(_only(task.place, labels))
        elif not _is_span(region):
            unread[str(kind)] += 1
    if text_key is not None:
        if text_key not in task.data:
            raise DataError(f"{task.place} has no text '{text_key}', of which other tasks have spans")
        spans = [_span(task.place, region) for region in task.regions if _is_span(region)]
        row |= tagged(task.place, task.data[text_key], spans)
    return row


def _only(place: str, labels: Any) -> str:
    if not isinstance(labels, list) or len(labels) != 1:
        raise DataError(f"{place}: a span or box has the labels {labels!r:.60}, and can have one")
    return str(labels[0])


def _span(place: str, region: Row) -> Span:
    value = region["value"]
    start, end = value["start"], value.get("end")
    if not isinstance(start, int) or not isinstance(end, int):
        raise DataError(f"{place}: the span from {start!r} to {end!r} has no places of characters in a plain text")
    return start, end, _only(place, value.get(region["type"]))


def _box(place: str, region: Row) -> list[float]:
    """Left, top, width and height in pixels; of a turned rectangle, those of the smallest upright one around it."""
    value = region["value"]
    try:
        width, height = (float(region.get(key) or value[key]) for key in ("original_width", "original_height"))
        left, top, across, down = (float(value[key]) / 100 for key in ("x", "y", "width", "height"))
        angle = math.radians(float(value.get("rotation") or 0))
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"{place}: a rectangle lacks one of x, y, width, height, original_width, original_height"
        ) from None
    # It turns around its left upper corner, in pixels.
    sides = [(x * across * width, y * down * height) for x in (0, 1) for y in (0, 1)]
    xs = [left * width + x * math.cos(angle) - y * math.sin(angle) for x, y in sides]
    ys = [top * height + x * math.sin(angle) + y * math.cos(angle) for x, y in sides]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
