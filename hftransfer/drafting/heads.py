"""What the first and last characters of a file show: its encoding, and which of the formats of its ending it is."""

from __future__ import annotations

import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from hftransfer.core.errors import DataError
from hftransfer.sources._records import records
from hftransfer.sources._text_files import open_unpacked
from hftransfer.sources.conll import TAG, begin_with_tags

_BYTES = 200_000
# A file that is read as a whole, in bytes.
_WHOLE = 64_000_000
_MARKS = ("entities", "spans", "annotations", "label", "labels")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _bytes(path: Path) -> bytes:
    try:
        with open_unpacked(str(path)) as file:
            return file.read(_BYTES)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, DataError):
        return b""


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _BYTES))
        return file.read().decode("utf-8", "replace")


def encoding_of(path: Path) -> str | None:
    """The encoding of a text that is not UTF-8, as Python names it: by its mark, else that of Windows.

    None too where a few lines alone are not UTF-8: another encoding would garble all others; and where it is not that
    of Western languages, whose letters are mostly those of ASCII.
    """
    return _encoding_of(_bytes(path))


def _encoding_of(start: bytes) -> str | None:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # The sample may end within a character.
    lines = start[: start.rfind(b"\n") + 1 or None].splitlines()
    accented = [line for line in lines if not line.isascii()]
    wrong = sum(not _is_utf8(line) for line in accented)
    if 2 * wrong <= len(accented):
        return None
    text = b"".join(accented).decode("cp1252", "replace")
    letters = sum(letter.isascii() and letter.isalpha() for letter in text)
    return "cp1252" if letters > sum(not letter.isascii() for letter in text) else None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def head(path: Path) -> str:
    """The beginning of a text, without a mark of the byte order; whole lines where it has several."""
    start = _bytes(path)
    text = start.decode(_encoding_of(start) or "utf-8-sig", "replace")
    return text[: text.rfind("\n") + 1] if "\n" in text and len(text) >= _BYTES // 2 else text


def is_coco(path: Path) -> bool:
    """Whether a JSON file has images, annotations and categories (https://cocodataset.org/#format-data)."""
    start = head(path)
    if start.lstrip()[:1] != "{":
        return False
    text = start + _tail(path)
    # Of a large file, the middle is not looked at.
    keys = [("images", "annotations", "categories"), ("images", "bbox", "category_id")]
    return any(all(f'"{key}"' in text for key in them) for them in keys)


def is_squad(text: str) -> bool:
    """Whether a JSON has SQuAD's nesting."""
    return '"paragraphs"' in text and '"qas"' in text


def is_label_studio(text: str) -> bool:
    """Whether a JSON is an export of Label Studio, JSON or JSON-MIN."""
    whole = '"result"' in text and re.search('"(annotations|completions)"', text) is not None
    keys = ("annotation_id", "lead_time", "rectanglelabels", "hypertextlabels")
    return whole or any(f'"{key}"' in text for key in keys)


def rows_key(path: Path) -> str | None:
    """The one key of a JSON mapping that holds a list of rows, beside others that hold none."""
    if path.suffix.lower() != ".json" or path.stat().st_size > _WHOLE or head(path).lstrip()[:1] != "{":
        return None
    try:
        whole = json.loads(path.read_text(encoding=encoding_of(path) or "utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    lists = [key for key, value in whole.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    return lists[0] if len(lists) == 1 and len(whole[lists[0]]) > 1 else None


def is_spans(path: Path) -> bool:
    """Whether records of texts have spans of characters, as those of doccano and Prodigy."""
    if path.suffix.lower() not in (".json", ".jsonl", ".ndjson"):
        return False
    try:
        return any(map(_has_span, islice(_entries(path), 50)))
    except DataError:
        return False


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    return (entry for _, entry in records(path))


def _has_span(entry: dict[str, Any]) -> bool:
    values = [entry.get(key) for key in _MARKS]
    items = [value[0] for value in values if isinstance(value, list) and value]
    return isinstance(entry.get("text"), str) and any(
        (isinstance(item, list) and len(item) == 3 and isinstance(item[0], int))
        or (isinstance(item, dict) and "label" in item and {"start", "start_offset"} & set(item))
        for item in items
    )


def is_conll(text: str) -> bool:
    """Whether lines are a word with a tag, or a tag with a word, and empty ones part sentences."""
    lines = text.splitlines()[:400]
    filled = [line for line in lines if line.strip() and not line.startswith(("-DOCSTART-", "#"))]
    rows = [line.split("\t") if "\t" in line else line.split() for line in filled]
    if len(filled) < 3 or len(filled) == len(lines) or not 2 <= len(rows[0]) <= 12:
        return False
    alike = [row for row in rows if len(row) == len(rows[0]) and " " not in row[0].strip()]
    tags = {row[0 if begin_with_tags(alike) else -1].strip() for row in alike}
    return len(alike) >= 0.95 * len(filled) and all(map(TAG.fullmatch, tags)) and len(tags) <= max(3, len(alike) / 2)


def is_yolo(path: Path) -> bool:
    """Whether the lines of a text are a class and a box, or an outline, in shares of an image."""
    lines = [line.split() for line in head(path).splitlines()[:20] if line.strip()]
    return bool(lines) and all(
        len(row) >= 5 and row[0].isdigit() and all(map(_NUMBER.fullmatch, row[1:5])) and max(map(float, row[1:5])) <= 1
        for row in lines
    )
