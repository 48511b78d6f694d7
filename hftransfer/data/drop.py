"""Training rows that a CSV names (`data.drop`), as `hftransfer audit` writes it, leave the training rows."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hftransfer.core.errors import DataError
from hftransfer.core.paths import is_file
from hftransfer.core.plugins import nearest
from hftransfer.data.hashes import SIZE, as_hashes, contained
from hftransfer.data.splits import Places

if TYPE_CHECKING:
    from hftransfer.data.hashes import Hashes

COLUMNS = ("split", "row", "content", "reason", "drop")
"""The columns of the CSV that are read: `split` and `row`, or `content`, or all three; the others may be left out."""
_YES, _NO = ("", "yes", "true", "1"), ("no", "false", "0")


class Line(NamedTuple):
    """A line of the CSV whose row is to be dropped."""

    number: int
    """Of the line in the file, from 1 on."""
    split: str
    """The source's split; empty where the content alone is given."""
    row: int | None
    """The number of the row in the source's split, from 0 on."""
    content: bytes | None
    """The hash of the row's inputs."""
    reason: str

    def __str__(self) -> str:
        """The row that the line names, for a message."""
        parts = [f"row {self.row}"] if self.row is not None else ["a row"]
        parts += [f"of split '{self.split}'"] if self.split else []
        return " ".join(parts + ([f"with the content {self.content.hex()}"] if self.content else []))


@dataclass(frozen=True)
class RowOrigins:
    """Where the rows of a split come from."""

    split: str
    """The source's split."""
    numbers: np.ndarray
    """The number there of each row, from 0 on, shape (rows,)."""
    contents: Hashes
    """The hash of each row's inputs."""

    def take(self, places: np.ndarray) -> RowOrigins:
        """Those of some rows."""
        return RowOrigins(self.split, self.numbers[places], self.contents.take(places))


@dataclass
class Dropped:
    """What `drop_rows` has done."""

    reasons: dict[str, int] = field(default_factory=dict)
    """Reason -> training rows that it removed."""
    warnings: list[str] = field(default_factory=list)


def read_lines(file: str) -> list[Line]:
    """The lines of a CSV but for those whose column `drop` says `no`.

    Raises:
        DataError: there is no such file, or a line names no row.
    """
    if not is_file(file):
        raise DataError(f"data.drop: there is no file '{file}' (paths count from the working directory)")
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
        table = csv.DictReader(text.splitlines())
        header = [name.strip() for name in table.fieldnames or []]
        table.fieldnames = header
        rows = list(enumerate(table, 2))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data.drop: '{file}' is no CSV file in UTF-8 ({error})") from None
    if not ("content" in header or {"split", "row"} <= set(header)):
        wrong = next((name for name in header if name not in COLUMNS), "")
        raise DataError(
            f"data.drop: '{file}' needs the columns split and row, or content, and has {', '.join(header) or 'none'}; "
            f"{nearest(wrong, COLUMNS)}"
        )
    return [line for number, fields in rows if (line := _line(file, number, fields)) is not None]


def _line(file: str, number: int, fields: Mapping[str, str | None]) -> Line | None:
    given = {name: (fields.get(name) or "").strip() for name in COLUMNS}
    if not any(given.values()) or given["drop"].lower() in _NO:
        return None
    where = f"data.drop: line {number} of '{file}'"
    if given["drop"].lower() not in _YES:
        raise DataError(f"{where}: drop is yes or no, got '{given['drop']:.40}'")
    if given["row"] and not given["row"].isdecimal():
        raise DataError(f"{where}: row is a number from 0 on, got '{given['row']:.40}'")
    try:
        content = bytes.fromhex(given["content"]) or None
    except ValueError:
        content = b""
    if content is not None and len(content) != SIZE:
        raise DataError(f"{where}: content is a hash of {2 * SIZE} hexadecimal digits, got '{given['content']:.40}'")
    row = int(given["row"]) if given["row"] else None
    if content is None and (row is None or not given["split"]):
        raise DataError(f"{where} names no row: give split and row, or content")
    return Line(number, given["split"], row, content, given["reason"] or "no reason given")


def drop_rows(file: str, places: Places, read: Mapping[str, RowOrigins], *, sampled: bool) -> Dropped:
    """Take the rows that a CSV names out of the training rows; validation and test rows stay.

    A line with a content means the rows of this content; of several in its split, that of its number.

    Args:
        file: the CSV.
        places: split -> split or slice of the source, and places in what was read of it; changed in place.
        read: split or slice of the source -> where its rows come from.
        sampled: whether only some rows were read, so that a row which is not found is no mistake.

    Raises:
        DataError: the file cannot be read, or a row is not found.
    """
    lines = read_lines(file)
    dropped = Dropped()
    reasons: Counter[str] = Counter()
    found: dict[Line, list[tuple[str, int, bool]]] = {line: [] for line in lines}
    for name, (origin, rows) in places.items():
        for line, place, is_named in _matches(lines, read[origin].take(rows)):
            found[line].append((name, place, is_named))
    leaving: dict[int, str] = {}
    held_out = 0
    for line, matches in found.items():
        if not matches and not sampled:
            raise DataError(
                f"data.drop: line {line.number} of '{file}' names {line}, which is not among the rows of the recipe: "
                "they have changed, or the file is of another recipe; audit them again, or delete the line"
            )
        exact = [match for match in matches if match[2]] or matches
        held_out += any(name in ("validation", "test") for name, _, _ in exact)
        leaving.update({place: line.reason for name, place, _ in exact if name == "train"})
    reasons.update(leaving.values())
    dropped.reasons.update(reasons)
    origin, rows = places["train"]
    places["train"] = (origin, np.delete(rows, sorted(leaving)))
    if held_out:
        dropped.warnings.append(
            f"data.drop: {held_out} of the {len(lines)} rows that '{file}' names are validation or test rows, which "
            "stay: correct them in data.source"
        )
    return dropped


def _matches(lines: list[Line], rows: RowOrigins) -> list[tuple[Line, int, bool]]:
    """Line, place of a row that it may mean, and whether it also names the row's number."""
    by_content: dict[bytes, list[Line]] = {}
    by_number: dict[int, list[Line]] = {}
    for line in lines:
        if line.split and line.split != rows.split:
            continue
        if line.content is not None:
            by_content.setdefault(line.content, []).append(line)
        elif line.row is not None:
            by_number.setdefault(line.row, []).append(line)
    same = contained(rows.contents, [as_hashes(b"".join(by_content))])
    numbered = np.isin(rows.numbers, list(by_number))
    matches = []
    for place in np.flatnonzero(same | numbered).tolist():
        number = int(rows.numbers[place])
        content = rows.contents[place].as_py()
        matches += [(line, place, line.row == number) for line in by_content.get(content, [])]
        matches += [(line, place, True) for line in by_number.get(number, [])]
    return matches
