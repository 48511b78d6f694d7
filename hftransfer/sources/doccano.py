"""Texts with labels or spans in the JSON of doccano (https://doccano.github.io/doccano/), of Prodigy and the like.

A record has `text`, and as `label`, `labels`, `entities`, `spans` or `annotations` names of classes, or spans:
`[0, 4, "PER"]`, or a mapping of first character, end (`start_offset`, `end_offset`; `start`, `end`) and `label`.
Records that Prodigy's annotators rejected or ignored are left out (`answer`: https://prodi.gy/docs/api-interfaces).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import DataError
from hftransfer.sources import Files
from hftransfer.sources._records import Row, records, tagged, to_datasets
from hftransfer.sources._spans import Span

if TYPE_CHECKING:
    from datasets import Dataset

_KEYS = ("entities", "spans", "annotations", "label", "labels", "accept")


class Doccano(Files):
    """Columns: `text` and other texts of the records; `label` (names), or `tokens` and `tags` (B-, I-, O) of spans."""

    def load(self) -> dict[str, Dataset]:
        entries = {
            split: [record for file in files for record in self._accepted(Path(file))]
            for split, files in self._paths().items()
        }
        has_spans = any(_is_span(item) for them in entries.values() for _, entry in them for item in _items(entry))
        return to_datasets(
            {split: [_row(place, entry, has_spans) for place, entry in them] for split, them in entries.items()}
        )

    def _accepted(self, file: Path) -> list[tuple[str, dict[str, Any]]]:
        """The records of a file but those that were rejected or ignored, which have the labels that were proposed."""
        found = list(records(file))
        used = [(place, entry) for place, entry in found if not _left_out(entry)]
        for answer, count in Counter(entry["answer"] for _, entry in found if _left_out(entry)).items():
            self.warn(f"data.source: {count} of {len(found)} records of {file} with the answer '{answer}' are left out")
        if not used and found:
            raise DataError(f"{file}: all {len(found)} records were rejected or ignored ('answer')")
        # Else the answers would be a column, of one value.
        return [(place, {key: it for key, it in entry.items() if not _is_answer(key, it)}) for place, entry in used]


def _left_out(entry: dict[str, Any]) -> bool:
    return _is_answer("answer", entry.get("answer")) and entry["answer"] != "accept"


def _is_answer(key: str, value: Any) -> bool:
    """Whether it is what Prodigy writes; the records of other tools may have answers of their own."""
    return key == "answer" and value in ("accept", "reject", "ignore")


def _items(entry: dict[str, Any]) -> list[Any]:
    """The classes and spans of a record."""
    values = [entry[key] for key in _KEYS if entry.get(key) is not None]
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _is_span(item: Any) -> bool:
    return isinstance(item, list | dict)


def _row(place: str, entry: dict[str, Any], has_spans: bool) -> Row:
    text = entry.get("text")
    if not isinstance(text, str):
        raise DataError(f"{place} has no 'text'")
    row: Row = {key: value for key, value in entry.items() if isinstance(value, str) and key not in _KEYS}
    items = _items(entry)
    if has_spans:
        row |= tagged(place, text, [_span(place, item) for item in items if _is_span(item)])
    labels = [str(item) for item in items if not _is_span(item)]
    return row | ({} if has_spans and not labels else {"label": labels})


def _span(place: str, item: Any) -> Span:
    """First character, end and label of a span."""
    if isinstance(item, dict):
        item = [item.get("start_offset", item.get("start")), item.get("end_offset", item.get("end")), item.get("label")]
    if len(item) != 3 or not all(isinstance(it, int) for it in item[:2]) or not isinstance(item[2], str | int):
        raise DataError(f"{place}: the span {item!r:.60} is not a first character, an end and a label")
    return item[0], item[1], str(item[2])
