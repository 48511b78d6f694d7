"""JSON files of annotation tools: their records, and rows of what was annotated in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import DataError
from hftransfer.sources._spans import Span, words_and_tags

if TYPE_CHECKING:
    from datasets import Dataset

Row = dict[str, Any]

_EMPTY: dict[str, Any] = {"tokens": [], "tags": [], "objects": {"bbox": [], "category": []}}


def records(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The mappings of a JSON list, or of JSON lines, each with its place in the file.

    Raises:
        DataError: the file is neither, or holds something else.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("["):
            found = [(f"{file}, entry {number}", entry) for number, entry in enumerate(json.loads(text))]
        else:
            lines = enumerate(text.split("\n"), 1)
            found = [(f"{file}:{number}", json.loads(line)) for number, line in lines if line.strip()]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is neither a JSON list nor JSON lines: {error}") from None
    for place, entry in found:
        if not isinstance(entry, dict):
            raise DataError(f"{place} is {entry!r:.60}, not a mapping")
        yield place, entry


def tagged(place: str, text: str, spans: Sequence[Span]) -> Row:
    """The columns `tokens` and `tags` of a text.

    Raises:
        DataError: the spans do not fit; `place` says where.
    """
    try:
        words, tags = words_and_tags(text, spans)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from None
    return {"tokens": words, "tags": tags}


def to_datasets(splits: dict[str, list[Row]]) -> dict[str, Dataset]:
    """The rows with the same columns in all splits.

    A column of labels (lists of names) holds names where every row has one, else lists.

    Raises:
        DataError: a split has no rows.
    """
    from datasets import Dataset

    for split, them in splits.items():
        if not them:
            raise DataError(f"data.source.{split}: there are no rows in its files")
    rows = [row for part in splits.values() for row in part]
    names = dict.fromkeys(name for row in rows for name in row)
    several = {name for name in names if any(isinstance(row.get(name), list) for row in rows)} - _EMPTY.keys()
    single = {name for name in several if all(len(row.get(name) or []) == 1 for row in rows)}

    def cell(row: Row, name: str) -> Any:
        value: Any = row.get(name, _EMPTY.get(name, [] if name in several else None))
        if name in several and not isinstance(value, list):
            value = [value]
        return value[0] if name in single else value

    return {split: Dataset.from_list([{name: cell(row, name) for name in names} for row in them])
            for split, them in splits.items()}  # fmt: skip
