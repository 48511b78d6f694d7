"""Records of cells in a dialect, each held to the width of the header; the first line that does not fit is named."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from hftransfer.core.errors import DataError
from hftransfer.sources._preamble import preamble
from hftransfer.sources._text_files import read_lines

# The longest cell in characters; a damaged file could be one.
_LONGEST = 50_000_000
# Rows among which a header's names are looked for.
_SAMPLE = 200
# Characters of a column's name.
_NAME_LENGTH = 60


@dataclass(frozen=True)
class Dialect:
    """How a line is written."""

    delimiter: str
    quote: str = '"'
    """What stands around a quoted cell; empty where none is quoted."""
    escape: str | None = None
    skip_spaces: bool = False
    """Whether spaces before a quoted cell are none of its text."""


@dataclass
class Survey:
    """What a whole file says of itself in a dialect."""

    names: list[str]
    rows: int = 0
    like_rows: tuple[int, int] | None = None
    """First and last line of a cell over several lines, each of which has the cells of a row."""
    quoted: bool = False
    """Whether cells are quoted, in a dialect without quotes."""
    repeated_names: list[str] = field(default_factory=list)
    """Names of the header that are cells of their own column too, or too long for a name."""
    skipped: int = 0
    """Records above the header."""
    header: tuple[str, int] = ("", 1)
    """The first line of the file, and the number of that which names the columns."""


class MisfitError(DataError):
    """A line that a dialect does not fit: where and how, and what helps."""

    def __init__(self, fault: str, advice: str) -> None:
        super().__init__(f"{fault}: {advice}")
        self.fault = fault


def records(lines: Iterable[str], dialect: Dialect, file: str) -> Iterator[tuple[list[str], list[str], int]]:
    """The cells of each record, the lines that it stands on, and the number of the first.

    Raises:
        MisfitError: a quoted cell does not end as it should.
    """
    if not dialect.quote and dialect.escape is None:
        for number, line in enumerate(lines, 1):
            yield line.rstrip("\r\n").split(dialect.delimiter), [line], number
        return
    csv.field_size_limit(_LONGEST)
    lines_of_record: list[str] = []
    reader = csv.reader(
        _remembered(lines, lines_of_record, dialect),
        strict=True,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        escapechar=dialect.escape,
        skipinitialspace=dialect.skip_spaces,
    )
    first = 1
    try:
        for values in reader:
            yield values, lines_of_record, first
            lines_of_record.clear()
            first = reader.line_num + 1
    except csv.Error as error:
        reason = "is longer than any cell may be" if "limit" in str(error) else "does not end at its quotation mark"
        raise MisfitError(
            f"{file}, line {first}: a quoted cell {reason}",
            "double the quotation marks within it, or data.source.quotes: false reads them as text, "
            "data.source.escape names what stands before them",
        ) from None


def _without_hint(lines: Iterable[str]) -> Iterator[str]:
    """The lines; that by which Excel is told the delimiter, `sep=;`, is empty."""
    for number, line in enumerate(lines):
        yield "\n" if not number and re.fullmatch(r"sep=.\r?\n?", line) else line


def _remembered(lines: Iterable[str], seen: list[str], dialect: Dialect) -> Iterator[str]:
    """The lines, noted in `seen`; a backslash that escapes nothing, as in C:\\new, is doubled to stay."""
    escaped = re.compile(rf"\\([\\\r\n{re.escape(dialect.quote + dialect.delimiter)}]|$)?")
    for line in lines:
        seen.append(line)
        yield escaped.sub(_doubled, line) if dialect.escape == "\\" and "\\" in line else line


def _doubled(match: re.Match[str]) -> str:
    return match[0] if match[1] else r"\\"


def rows(
    file: str, encoding: str, dialect: Dialect, width: int | None, skipped: int = 0
) -> Iterator[tuple[list[str], list[str], int]]:
    """The records that are no empty lines, each as wide as the first, or as `width`; `skipped` of them are left out.

    Raises:
        MisfitError: one has more cells, or fewer.
    """
    for values, lines, number in islice(_filled(file, encoding, dialect, width), skipped, None):
        if width is None:
            width = len(values)
        if len(values) != width:
            raise MisfitError(
                f"{file}, line {number} has {len(values)} cell{'s' * (len(values) != 1)}, and the header {width}",
                f"a cell that holds {dialect.delimiter!r} stands in quotation marks; data.source.delimiter and "
                "data.source.quotes say how lines are written",
            )
        yield values, lines, number


def _filled(
    file: str, encoding: str, dialect: Dialect, width: int | None
) -> Iterator[tuple[list[str], list[str], int]]:
    """The records that are no empty lines; a cell without text is one in a table of one column alone."""
    for values, lines, number in records(_without_hint(read_lines(file, encoding)), dialect, file):
        if values and (len(values) > 1 or width == 1 or values[0].strip()):
            yield values, lines, number


def survey(file: str, encoding: str, dialect: Dialect, header: bool | list[str]) -> Survey:
    """What the file says of itself; every line of it is read.

    Raises:
        DataError: a line does not fit, or the header names two columns alike.
    """
    width = len(header) if isinstance(header, list) else None
    # A list, since the iterator gives one list of lines again and again.
    start = [(values, "".join(lines)) for values, lines, _ in islice(_filled(file, encoding, dialect, width), _SAMPLE)]
    skipped = preamble([values for values, _ in start]) if header is True else 0
    table = rows(file, encoding, dialect, width, skipped)
    first = next(table, None)
    if first is None:
        raise DataError(f"data.source: {file} is empty")
    found = Survey(_names(first[0], header, f"{file}, line {first[2]}"), rows=int(header is not True), skipped=skipped)
    found.header = (start[0][1].strip(), first[2])
    head: list[list[str]] = []
    wrapped = [0] * len(found.names)
    for values, lines, number in table:
        found.rows += 1
        if len(head) < _SAMPLE:
            head.append(values)
        if len(lines) > 1 and found.like_rows is None and _are_rows(lines, dialect, len(values)):
            found.like_rows = (number, number + len(lines) - 1)
        if not dialect.quote and '"' in lines[0]:
            found.quoted |= _count_wrapped(values, wrapped)
    found.quoted |= any(count > found.rows / 2 for count in wrapped)
    if header is True:
        found.repeated_names = [
            name
            for name, values in zip(found.names, zip(*head, strict=True), strict=False)
            if name in values or len(name) > _NAME_LENGTH
        ]
    return found


def _names(values: list[str], header: bool | list[str], place: str) -> list[str]:
    """The names of the columns."""
    if isinstance(header, list):
        return header
    if not header:
        return [f"column_{number}" for number in range(1, len(values) + 1)]
    names = [cell.strip() or f"Unnamed: {number}" for number, cell in enumerate(values)]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise DataError(
                f"{place} names two columns '{name}'; where the first line is a row, data.source.header: "
                "[name, ...] names the columns"
            )
    return names


def _are_rows(lines: list[str], dialect: Dialect, width: int) -> bool:
    """Whether each line alone has the cells of a row, as where a quotation mark is never closed."""
    return all(line.rstrip("\r\n").count(dialect.delimiter) == width - 1 for line in lines)


def _count_wrapped(values: list[str], wrapped: list[int]) -> bool:
    """Count cells between quotation marks by column; returns whether one has doubled ones within."""
    doubled = False
    for column, cell in enumerate(values):
        if len(cell) > 1 and cell[0] == cell[-1] == '"':
            wrapped[column] += 1
            doubled |= '""' in cell[1:-1]
    return doubled
