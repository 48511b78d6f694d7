"""Files of segments, in seconds: RTTM, label tracks of Audacity, CSV; each line a recording, start, end and label.

https://github.com/nryant/dscore#rttm, https://manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest
from hftransfer.tasks._segments import UNNAMED

_COLUMNS = ("start", "end", "label", "file_name")


class Line(NamedTuple):
    """A segment, and the recording that it is of; None: that of the file's own name."""

    recording: str | None
    start: float
    end: float
    label: str


def read_lines(file: Path) -> list[Line]:
    """The segments of a file, by its ending.

    Raises:
        DataError: a line is none of this format, or ends before it starts; with its number.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: it is no UTF-8 text: {error}") from None
    return list(READERS[file.suffix.lower()](file, text.splitlines()))


def _rttm(file: Path, lines: list[str]) -> Iterator[Line]:
    """`SPEAKER file channel onset duration <NA> <NA> name <NA> <NA>`; lines of other types say nothing of segments."""
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        if len(fields) < 8:
            raise DataError(f"{file}: line {number} has {len(fields)} fields, and SPEAKER lines of RTTM have 10")
        start, duration = (_seconds(file, number, field) for field in (fields[3], fields[4]))
        yield _checked(file, number, Line(fields[1], start, start + duration, fields[7]))


def _audacity(file: Path, lines: list[str]) -> Iterator[Line]:
    """`start<TAB>end<TAB>label`; a line that begins with a backslash gives frequencies."""
    for number, line in enumerate(lines, 1):
        fields = line.split("\t")
        if not line.strip() or fields[0].startswith("\\"):
            continue
        if len(fields) < 2:
            raise DataError(f"{file}: line {number} is not start, end and label with tabs between, as Audacity writes")
        start, end = (_seconds(file, number, field) for field in fields[:2])
        label = "\t".join(fields[2:]).strip() or UNNAMED
        yield _checked(file, number, Line(None, start, end, label))


def _table(file: Path, lines: list[str]) -> Iterator[Line]:
    """A header with `start` and `end`, and `label` and `file_name` where there are such; commas, semicolons or tabs."""
    header = lines[0] if lines else ""
    delimiter = max("\t;,", key=header.count)
    rows = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
    names = [name.strip().lower() for name in rows.fieldnames or []]
    rows.fieldnames = names
    for name in _COLUMNS[:2]:
        if name not in names:
            raise DataError(f"{file}: its header has no column '{name}'; {nearest(name, names)}")
    for number, row in enumerate(rows, 2):
        start, end = (_seconds(file, number, row[name]) for name in _COLUMNS[:2])
        label = (row.get("label") or "").strip() or UNNAMED
        yield _checked(file, number, Line(row.get("file_name") or None, start, end, label))


def _seconds(file: Path, number: int, text: str | None) -> float:
    try:
        # Audacity writes a comma in some languages.
        return float((text or "").strip().replace(",", "."))
    except ValueError:
        raise DataError(f"{file}: line {number} has '{text or ''}' for a number of seconds") from None


def _checked(file: Path, number: int, line: Line) -> Line:
    if not 0 <= line.start <= line.end:
        raise DataError(f"{file}: line {number} has a segment from {line.start:g} to {line.end:g} s")
    return line


READERS: dict[str, Callable[[Path, list[str]], Iterator[Line]]] = {
    ".rttm": _rttm,
    ".txt": _audacity,
    ".csv": _table,
    ".tsv": _table,
}
"""Ending of a file -> what reads its lines."""
