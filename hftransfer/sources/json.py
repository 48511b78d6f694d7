"""Rows of JSON files: JSON lines, a list of rows, a list for each column, rows under a key, or what pandas writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest
from hftransfer.sources import LineFiles
from hftransfer.sources._arrow_cache import Table, cached
from hftransfer.sources._json_types import Spelled, convert, infer_type, merge, stored, to_feature
from hftransfer.sources._split_names import split_of
from hftransfer.sources._text_files import read_lines

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset
    from pyarrow import DataType

_BATCH = 5_000

Row = dict[str, Any]


class Json(LineFiles):
    """One JSON file, or several, for each split: a row a line, or a list of rows. A string is never read as a date."""

    field: str | None = None
    """The key that holds the list of rows, where a file is a mapping."""

    def load(self) -> dict[str, Dataset]:
        """The files; a column has one type in all of them."""
        paths = self._paths()
        splits, _ = cached(paths, (self.name, self.field, self.encoding), lambda: (self._read(paths), []))
        return splits

    def _read(self, paths: dict[str, list[str]]) -> dict[str, Table]:
        from datasets import Features

        types: dict[str, DataType] = {}
        mixed: set[str] = set()
        names = {split: self._infer(files, types, mixed) for split, files in paths.items()}
        tables = {}
        for split, files in paths.items():
            if not names[split]:
                raise DataError(f"data.source.{split}: there are no rows in {', '.join(files)}")
            features = Features({name: to_feature(types[name]) for name in names[split]})
            columns = {name: types[name] for name in names[split]}
            tables[split] = Table(features, self._batches(files, columns, mixed))
        return tables

    def _infer(self, files: list[str], types: dict[str, DataType], mixed: set[str]) -> list[str]:
        """The columns of some files; `types` and `mixed`, whose cells are converted, are brought up to date."""
        import pyarrow

        names: dict[str, None] = {}
        for batch in self._row_batches(files):
            for name in dict.fromkeys(name for row in batch for name in row):
                names[name] = None
                found, several = infer_type([row.get(name) for row in batch])
                known = types.get(name, pyarrow.null())
                types[name] = merge(known, found)
                if (
                    several
                    or types[name] not in (known, found)
                    or (known != found and not pyarrow.types.is_null(known))
                ):
                    mixed.add(name)
        return list(names)

    def _batches(self, files: list[str], types: dict[str, DataType], mixed: set[str]) -> Iterator[pyarrow.Table]:
        import pyarrow

        for batch in self._row_batches(files, spelled=bool(mixed)):
            columns = {}
            for name, kind in types.items():
                values = [row.get(name) for row in batch]
                if name in mixed:
                    values = [convert(cell, kind) for cell in values]
                try:
                    columns[name] = pyarrow.array(values, stored(kind))
                except UnicodeEncodeError as error:
                    raise DataError(f"data.source: the column '{name}' holds half of a character: {error}") from None
            yield pyarrow.table(columns)

    def _row_batches(self, files: list[str], *, spelled: bool = False) -> Iterator[list[Row]]:
        """The rows of some files; `spelled`: with decimals that know their spelling."""
        decoder = json.JSONDecoder(parse_float=Spelled if spelled else None)
        rows = chain.from_iterable(_rows(file, self.field, self.encoding, decoder) for file in files)
        while batch := list(islice(rows, _BATCH)):
            yield batch


def _rows(file: str, field: str | None, encoding: str, decoder: json.JSONDecoder) -> Iterator[Row]:
    """The rows of a file, which is read line by line where its lines are rows.

    Raises:
        DataError: it is no JSON, or holds no rows.
    """
    lines = ((number, line) for number, line in enumerate(read_lines(file, encoding), 1) if line.strip())
    first = next(lines, None)
    if first is None:
        raise DataError(f"data.source: {file} is empty")
    second = next(lines, None)
    head = [line for line in (first, second) if line]
    if field is None and _is_row(first[1], decoder, alone=second is None):
        for number, line in chain(head, lines):
            yield _row(_decode(line.rstrip(), decoder, file, number), file, number)
        return
    whole = _decode("".join(line for _, line in chain(head, lines)), decoder, file, first[0])
    for number, value in enumerate(_listed(whole, field, file), 1):
        yield _row(value, file, number, "row")


def _is_row(line: str, decoder: json.JSONDecoder, *, alone: bool) -> bool:
    """Whether a line is a row, and no list of rows, and `alone` in its file no mapping with one either."""
    try:
        value = decoder.decode(line)
    except (ValueError, RecursionError):
        return False
    return not isinstance(value, list) and not (alone and (_holds_rows(value) or _frame_rows(value) or _splits(value)))


def _decode(text: str, decoder: json.JSONDecoder, file: str, number: int) -> Any:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        line = number + error.lineno - 1
        raise DataError(f"data.source: {file}, line {line}, column {error.colno} is no JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"data.source: {file}, line {number} cannot be read: {error}") from None


def _holds_rows(value: Any) -> bool:
    """Whether a mapping is no row, but has a list of them under a key."""
    parts = list(value.values()) if isinstance(value, dict) else []
    lists = any(isinstance(part, list) and len(part) > 1 and isinstance(part[0], dict) for part in parts)
    return lists and not any(isinstance(part, str) for part in parts)


def _splits(value: Any) -> list[str]:
    """The keys of a mapping of splits to lists without names; none of another value."""
    keys = list(value) if isinstance(value, dict) else []
    are_splits = len(keys) > 1 and all(split_of(key) and isinstance(value[key], list) for key in keys)
    return keys if are_splits and not _holds_rows(value) else []


def _frame_rows(value: Any) -> list[Row] | None:
    """The rows of a table as `DataFrame.to_json` writes it with `orient` columns, index or split; None of others."""
    if not isinstance(value, dict):
        return None
    names, data = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(data, list) and value.keys() <= {"columns", "data", "index"}:
        whole = all(isinstance(row, list) and len(row) == len(names) for row in data)
        return [dict(zip(map(str, names), row, strict=True)) for row in data] if whole else None
    parts = list(value.values())
    if not parts or not all(isinstance(part, dict) and part and part.keys() == parts[0].keys() for part in parts):
        return None
    numbered = [all(key.isdigit() for key in keys) for keys in (value, parts[0])]
    if numbered == [True, False]:
        return parts
    if numbered == [False, True]:
        return [{name: part[key] for name, part in value.items()} for key in parts[0]]
    return None


def _listed(value: Any, field: str | None, file: str) -> list[Any]:
    """The rows of a file that is one value.

    Raises:
        DataError: they are not under the key `field`, or under some other.
    """
    if field is not None:
        if not isinstance(value, dict) or field not in value:
            keys = list(value) if isinstance(value, dict) else []
            raise DataError(f"data.source.field: {file} has no key '{field}'; {nearest(field, keys)}")
        value = value[field]
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise DataError(f"data.source: {file} holds neither rows nor a list of them")
    if rows := _frame_rows(value):
        return rows
    if splits := _splits(value):
        raise DataError(
            f"data.source: {file} holds the splits {', '.join(splits)}, whose rows have no names for their cells: "
            'write a file for each split, of rows such as {"text": ..., "label": ...}'
        )
    columns = [list(part.values()) if isinstance(part, dict) else part for part in value.values()]
    if (
        columns
        and not _holds_rows(value)
        and all(isinstance(part, list) and len(part) == len(columns[0]) for part in columns)
    ):
        return [dict(zip(value, values, strict=True)) for values in zip(*columns, strict=True)]
    keys = [key for key, part in value.items() if isinstance(part, list | dict)]
    hint = f"; data.source.field: {keys[0]} takes those under this key" if keys else ""
    raise DataError(f"data.source: {file} is one mapping, where a list of rows or a row a line should be{hint}")


def _row(value: Any, file: str, number: int, unit: str = "line") -> Row:
    if isinstance(value, str | int | float):
        return {"text": value}
    if not isinstance(value, dict):
        raise DataError(
            f"data.source: {file}, {unit} {number} is no mapping of columns to cells: {value!r:.40}; pandas writes "
            "such with df.to_json(file, orient='records', lines=True)"
        )
    return value
