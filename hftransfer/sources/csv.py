"""Rows of CSV files and their like: other delimiters, tabs, with or without quotes and a header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, field_validator, model_validator

from hftransfer.core.errors import DataError
from hftransfer.sources import LineFiles
from hftransfer.sources._arrow_cache import Table, cached
from hftransfer.sources._delimited import rows
from hftransfer.sources._dialects import Found, Given, find_dialects
from hftransfer.tasks._labels import CURRENCY

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

_BATCH = 10_000
# Numbers with groups of three digits, by what stands before their decimals, and the sign of a currency or of percent.
_NUMBERS = {
    decimal: re.compile(
        rf"[+-]?\s*({CURRENCY}?)\s*(?:\d{{1,3}}(?:[{group}'’ \u00a0\u202f]\d{{3}})+|\d+)(?:\{decimal}\d+)?"
        rf"\s*([%‰]|{CURRENCY}|)"
    )
    for decimal, group in ((",", "."), (".", ","))
}


class Csv(LineFiles):
    """One CSV file, or several, for each split. Cells are text as the file writes it; only an empty one is missing."""

    delimiter: str | None = None
    """Between the cells of a line; left out, a tab in files whose names end in .tsv, and else that of comma, semicolon,
    tab and | which gives each line equally many cells."""
    quotes: bool | str | None = None
    """Whether a cell may be quoted, or by which character; false where quotation marks are part of the text, as in the
    files of GLUE and Common Voice. Left out, they are part of the text where no line would be read otherwise."""
    escape: str | None = Field(default=None, min_length=1, max_length=1)
    r"""What stands before a quotation mark that is text; left out, it is doubled, or a backslash stands before it."""
    header: bool | list[str] = True
    """Whether the first line names the columns, below a title where there is one. false: it is a row, and they are
    called column_1, column_2, ...; a list names them."""
    decimal: Literal[",", "."] | None = None
    """What stands before the decimals in columns of numbers, whose groups of three digits may be parted: 1.234,5 or
    1,234.5; one currency or % in a column, $5 or 12 %, is left out. Without it, cells are left as they are."""

    @field_validator("delimiter")
    @classmethod
    def _is_a_tab(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("a delimiter is a character, or several")
        return "\t" if value == r"\t" else value

    @field_validator("quotes")
    @classmethod
    def _is_a_sign(cls, value: bool | str | None) -> bool | str | None:
        if isinstance(value, str) and len(value) != 1:
            raise ValueError("quotes is true, false or the one character around a cell")
        return value

    @field_validator("header")
    @classmethod
    def _names_each_once(cls, value: bool | list[str]) -> bool | list[str]:
        names = value if isinstance(value, list) else []
        if value == [] or len(set(names)) < len(names):
            raise ValueError("each column needs a name of its own")
        return value

    @model_validator(mode="after")
    def _have_different_signs(self) -> Self:
        if self.quotes and len(self.delimiter or "") > 1:
            raise ValueError(f"quotes: cells with '{self.delimiter}' between them cannot be quoted; leave it out")
        quote = self.quotes if isinstance(self.quotes, str) else None
        signs = [sign for sign in (self.delimiter, quote, self.escape) if sign is not None]
        if len(set(signs)) < len(signs) or any(sign in "\r\n" for sign in signs) or self.delimiter == '"':
            raise ValueError("delimiter, quotes and escape are different characters, and no line breaks")
        return self

    def load(self) -> dict[str, Dataset]:
        """The files, in the one dialect that fits all of them."""
        paths = self._paths()
        options = (self.name, self.delimiter, self.encoding, self.quotes, self.escape, self.header, self.decimal)
        splits, warnings = cached(paths, options, lambda: self._read(paths))
        for sentence in warnings:
            self.warn(sentence)
        return splits

    def _read(self, paths: dict[str, list[str]]) -> tuple[dict[str, Table], list[str]]:
        files = list(dict.fromkeys(file for names in paths.values() for file in names))
        found = find_dialects(files, Given(self.encoding, self.header, self.delimiter, self.quotes, self.escape))
        return {split: self._table(split, names, found) for split, names in paths.items()}, found.warnings

    def _table(self, split: str, files: list[str], found: Found) -> Table:
        """The rows of a split.

        Raises:
            DataError: its files have different columns.
        """
        from datasets import Features, Value

        columns = found.surveys[files[0]].names
        for file in files:
            if different := set(columns).symmetric_difference(found.surveys[file].names):
                raise DataError(f"data.source.{split}: {files[0]} and {file} differ in the column '{min(different)}'")
        numbers = self._number_columns(files, found)
        parts = (part.select(columns) for file in files for part in self._batches(file, found, numbers))
        return Table(Features({name: Value("string") for name in columns}), parts)

    def _rows(self, file: str, found: Found) -> Iterator[list[str]]:
        """The cells of each row."""
        survey = found.surveys[file]
        table = rows(file, self.encoding, found.dialects[file], len(survey.names), survey.skipped)
        return islice((values for values, _, _ in table), int(self.header is True), None)

    def _batches(self, file: str, found: Found, numbers: set[str]) -> Iterator[pyarrow.Table]:
        import pyarrow

        names, table = found.surveys[file].names, self._rows(file, found)
        while batch := list(islice(table, _BATCH)):
            by_column = zip(names, zip(*batch, strict=True), strict=True)
            columns = {name: [cell or None for cell in values] for name, values in by_column}
            for name in numbers:
                columns[name] = [cell and _canonical(cell, self.decimal or ".") for cell in columns[name]]
            yield pyarrow.table({name: pyarrow.array(values, pyarrow.string()) for name, values in columns.items()})

    def _number_columns(self, files: list[str], found: Found) -> set[str]:
        """The columns whose cells are all numbers, where `decimal` says how they are written."""
        if self.decimal is None:
            return set()
        signs: dict[str, set[str]] = {name: set() for name in found.surveys[files[0]].names}
        for file in files:
            names = found.surveys[file].names
            for values in self._rows(file, found):
                for name, cell in zip(names, values, strict=True):
                    if name in signs and cell.strip() and not self._notes(cell.strip(), signs[name]):
                        del signs[name]
        for name, used in signs.items():
            if sign := "".join(used):
                found.warnings.append(f"column '{name}' is read as numbers without '{sign}' (data.source.decimal)")
        return set(signs)

    def _notes(self, cell: str, signs: set[str]) -> bool:
        """Whether a cell is a number, with no other sign than those before it; its sign is noted."""
        match = _NUMBERS[self.decimal or "."].fullmatch(cell)
        signs |= {sign for sign in match.groups() if sign} if match else set()
        return match is not None and len(signs) < 2


def _canonical(cell: str, decimal: str) -> str:
    """A number as Python writes it."""
    text = re.sub(f"[^0-9+{re.escape(decimal)}-]", "", cell).replace(decimal, ".")
    if not text:
        return cell
    return repr(float(text)) if "." in text else str(int(text))
