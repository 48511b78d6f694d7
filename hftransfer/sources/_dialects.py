"""The one dialect that fits all lines of some files: what the recipe says of it, and else what the files show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from hftransfer.sources._delimited import Dialect, MisfitError, Survey, records, survey
from hftransfer.sources._preamble import preamble
from hftransfer.sources._text_files import COMPRESSED, read_lines

_DELIMITERS = (",", ";", "\t", "|")
_TABS = {".tsv", ".tab"}
# Lines from which a delimiter is guessed.
_SAMPLE = 200


@dataclass(frozen=True)
class Given:
    """What a recipe says of its files; None is to be found."""

    encoding: str = "utf-8"
    header: bool | list[str] = True
    delimiter: str | None = None
    quotes: bool | str | None = None
    escape: str | None = None


@dataclass
class Found:
    """File -> its dialect, and what it says of itself; warnings of what was guessed."""

    dialects: dict[str, Dialect]
    surveys: dict[str, Survey]
    warnings: list[str] = field(default_factory=list)

    def like_rows(self) -> dict[str, tuple[int, int]]:
        """File -> first and last line of its first cell whose lines look like rows."""
        return {file: it.like_rows for file, it in self.surveys.items() if it.like_rows}


def find_dialects(files: Sequence[str], given: Given) -> Found:
    """The first way to write that fits all lines of all files.

    Raises:
        MisfitError: none does; the sentence is that of the usual one.
    """
    delimiters = {file: given.delimiter or guess_delimiter(file, given) for file in files}
    failed: MisfitError | None = None
    doubtful: Found | None = None
    for way in _ways(given, _starts(files[0], given), delimiters[files[0]]):
        dialects = {file: replace(way, delimiter=delimiter) for file, delimiter in delimiters.items()}
        try:
            surveys = {file: survey(file, given.encoding, dialects[file], given.header) for file in files}
        except MisfitError as error:
            failed = failed or error
            continue
        found = Found(dialects, surveys)
        if way.quote and given.quotes is None and any(dialects[file].delimiter in "\t|" for file in found.like_rows()):
            doubtful = doubtful or found
        elif way.quote or given.quotes is False or not any(it.quoted for it in surveys.values()):
            reasons = [failed.fault] if failed else _doubts(doubtful) if doubtful else []
            return _with_warnings(found, given, reasons)
    if doubtful is not None:
        return _with_warnings(doubtful, given, [])
    assert failed is not None
    raise failed


def _starts(file: str, given: Given) -> list[str]:
    return list(islice(read_lines(file, given.encoding), _SAMPLE))


def _ways(given: Given, lines: list[str], delimiter: str) -> Iterator[Dialect]:
    """The ways to write a line that may be, the likeliest first."""
    if given.quotes is not False and len(delimiter) == 1:
        usual = Dialect("", given.quotes if isinstance(given.quotes, str) else '"', given.escape)
        spaced = replace(usual, skip_spaces=True)
        # Quotation marks on both sides of a cell, since `he said "yes", "no"` may be one of a text.
        around = rf"{re.escape(delimiter)} +{usual.quote}[^{usual.quote}]*{usual.quote}\s*({re.escape(delimiter)}|$)"
        begins_spaced = any(re.search(around, line) for line in lines)
        yield from (spaced, usual) if begins_spaced else (usual, spaced)
        if given.escape is None:
            yield replace(usual, escape="\\")
            if given.quotes is None and _begin_cells("'", lines, delimiter) and not _begin_cells('"', lines, delimiter):
                yield replace(usual, quote="'")
    if given.quotes is None or given.quotes is False:
        yield Dialect("", "", given.escape)


def _begin_cells(quote: str, lines: list[str], delimiter: str) -> bool:
    return any(line.startswith(quote) or f"{delimiter}{quote}" in line for line in lines)


def guess_delimiter(file: str, given: Given) -> str:
    """The delimiter that gives the first lines of a file equally many cells, several: a comma, if it does."""
    if _has_tabs(file):
        return "\t"
    lines = _starts(file, given)
    widths = {
        delimiter: _width(lines, Dialect(delimiter, "" if given.quotes is False else '"')) for delimiter in _DELIMITERS
    }
    best = max(_DELIMITERS, key=lambda delimiter: (delimiter == "," and widths[","] > 1, widths[delimiter]))
    if widths[best] > 1:
        return best
    return next((delimiter for delimiter in _DELIMITERS if delimiter in "".join(lines[:1])), ",")


def _has_tabs(file: str) -> bool:
    path = Path(file.lower())
    return (Path(path.stem) if path.suffix in COMPRESSED else path).suffix in _TABS


def _width(lines: list[str], dialect: Dialect) -> int:
    """The cells of each line, quoted or not; 0 where they differ."""
    for tried in dict.fromkeys((dialect, replace(dialect, quote=""))):
        found: list[list[str]] = []
        try:
            found.extend(values for values, _, _ in records(lines, tried, "") if values)
        except MisfitError:
            # The last of these lines may stand within a cell.
            if len(lines) < _SAMPLE:
                continue
        widths = set(map(len, found[preamble(found) :]))
        if len(widths) == 1:
            return widths.pop()
    return 0


def _with_warnings(found: Found, given: Given, reasons: list[str]) -> Found:
    """The dialects with a sentence for each guess; `reasons`: why the usual way did not do."""
    for file, dialect in found.dialects.items():
        if given.delimiter is None and dialect.delimiter != "," and not _has_tabs(file):
            found.warnings.append(f"{file} has {dialect.delimiter!r} between its cells (data.source.delimiter)")
    first = next(iter(found.dialects.values()))
    for reason in reasons:
        if first.escape and given.escape is None:
            found.warnings.append(f"a backslash is read as an escape (data.source.escape), since else {reason}")
        elif given.quotes is None and first.quote != '"':
            read = "single quotes are read as quotation marks" if first.quote else "quotation marks are read as text"
            found.warnings.append(f"{read} (data.source.quotes), since else {reason}")
    found.warnings.extend(
        f"{doubt}: data.source.quotes: false reads quotation marks as text" for doubt in _doubts(found)
    )
    found.warnings.extend(_header_warnings(found))
    return found


def _header_warnings(found: Found) -> Iterator[str]:
    for file, it in found.surveys.items():
        if it.skipped:
            start, line = it.header
            yield (
                f"{file}: the columns' names are read from line {line}; what stands above them, '{start:.40}', is left "
                "out (data.source.header: false or [name, ...] reads all lines as rows)"
            )
        if it.repeated_names:
            yield (
                f"{file}, line {it.header[1]} looks like a row ('{it.repeated_names[0]:.40}'), and names the columns: "
                "data.source.header: false or [name, ...] reads it as one"
            )


def _doubts(found: Found) -> list[str]:
    return [
        f"{file}, lines {start} to {end} are one row with a cell over several lines, and each looks like a row"
        for file, (start, end) in found.like_rows().items()
    ]
