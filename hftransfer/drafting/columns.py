"""What each column of a table holds: texts, classes, numbers, files, lists; by its type and a sample of its cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hftransfer.sources._listing import IMAGES, RECORDINGS, Media
from hftransfer.tasks._labels import CURRENCY

if TYPE_CHECKING:
    from datasets import Dataset

Content = Literal[
    "text", "class", "flag", "number", "image", "audio", "list", "boxes", "mapping", "date", "id", "empty"
]  # fmt: skip
"""What a column holds. `class`: few distinct names; `flag`: 0 and 1; `list`: several words or names a cell."""

_SAMPLE = 500
# Shares of the cells that may be distinct in a column of classes, and words and characters of a class's name.
_DISTINCT, _WORDS, _LETTERS = 0.5, 5.0, 60
_FLAGS = frozenset(("0", "1", "0.0", "1.0", "true", "false", "yes", "no"))
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|\d{1,3}(,\d{3})+(\.\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_SIGNED = re.compile(
    rf"(?P<sign>[+-]?)\s*(?P<before>{CURRENCY}?)\s*(?P<number>{_NUMBER.pattern})\s*(?P<after>[%‰]|{CURRENCY}|)"
)
# A comma before three digits parts thousands, or stands before decimals; two of them, or one beside a point, part.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_ONE_GROUP = re.compile(r"[+-]?\d+,\d{3}")
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}( .*)?|\d{1,2}:\d{2}(:\d{2})?"
    r"|\d{1,2}[ -][A-Z][a-z]{2,8}[ -]\d{4}( .*)?|[A-Z][a-z]{2,8} \d{1,2},? \d{4}( .*)?"
)
_ID = re.compile(r"[0-9a-fA-F-]{16,}|https?://\S+|\S+@\S+\.\S+|[A-Za-z_#-]*\d[\w-]*")
_PATH = re.compile(r"\S.{0,999}\.[A-Za-z][A-Za-z0-9]{1,4}")
# How recordings begin: WAV, FLAC, Ogg, MP3.
_AUDIO = frozenset((b"RIFF", b"fLaC", b"OggS", b"ID3\x03", b"ID3\x04", b"\xff\xfb\x90\x00"))
_FILES: tuple[tuple[Media, Content], ...] = ((IMAGES, "image"), (RECORDINGS, "audio"))
_ID_NAMES = frozenset(("id", "idx", "index", "uid", "uuid", "guid", "key", "row", "unnamed"))


@dataclass(frozen=True)
class Column:
    """A column, or several that are one role together."""

    name: str
    content: Content
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict, repr=False)
    """Split -> some cells, of any but files."""
    parts: tuple[str, ...] = ()
    """The columns that are joined, of several."""
    words: float = 0.0
    """Of a cell of text, on average."""
    distinct: int = 0
    """Different cells in the sample of the training rows."""
    missing: int = 0
    """Empty cells in that sample."""
    alias: str = ""
    """Another name that it might have, by the columns beside it."""
    decimal: Literal[",", "."] | None = None
    """What stands before the decimals of its numbers, where some have a comma: 3,5 or 12,500."""
    unsure: str = ""
    """A number that may be a thousand times as large: 12,500, of a column in which nothing says what its commas are."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the source that it takes."""
        return self.parts or (self.name,)

    @property
    def informs(self) -> bool:
        """Whether a task that leaves it out may be the wrong one."""
        return self.content not in ("id", "date", "empty")

    @property
    def description(self) -> str:
        """In a few words, for people."""
        if self.content == "text":
            return f"text, {self.words:.0f} words on average"
        if self.content in ("class", "flag") and self.distinct:
            return f"{self.distinct} class{'es' * (self.distinct != 1)}"
        return {"list": "lists", "mapping": "mappings", "empty": "one value or none"}.get(self.content, self.content)


def inspect(splits: Mapping[str, Dataset]) -> list[Column]:
    """The columns of the training rows, named parts of mappings among them: `translation.fr`."""
    train = splits["train"] if "train" in splits else next(iter(splits.values()))
    samples = {split: _sample(rows) for split, rows in splits.items()}
    columns = []
    for name, feature in train.features.items():
        columns += _columns(name, feature, {split: sample.get(name, []) for split, sample in samples.items()})
    return columns


def _sample(rows: Dataset) -> dict[str, list[Any]]:
    """Column -> cells of rows at equal distances; of files none."""
    from datasets import Audio, Image

    names = [name for name, feature in rows.features.items() if not isinstance(feature, Audio | Image)]
    if not names:
        return {}
    step = max(1, -(-len(rows) // _SAMPLE))
    return dict(rows.select_columns(names)[::step])


def _columns(name: str, feature: Any, values: Mapping[str, list[Any]]) -> list[Column]:
    from datasets import Audio, ClassLabel, Image, Translation

    if isinstance(feature, Image):
        return [Column(name, "image")]
    if isinstance(feature, Audio):
        return [Column(name, "audio")]
    if isinstance(feature, ClassLabel):
        names = {split: _class_names(feature, them) for split, them in values.items()}
        return [Column(name, "class", names, distinct=len(set(_train(names))))]
    if isinstance(feature, dict | Translation):
        return _of_mappings(name, feature, values)
    filled = [cell for cell in _train(values) if cell is not None and cell != []]
    missing = len(_train(values)) - len(filled)
    if hasattr(feature, "feature") or isinstance(feature, list):
        rows = bool(filled) and isinstance(filled[0][0], dict)
        content: Content = "list" if not rows else "boxes" if "bbox" in filled[0][0] else "mapping"
        return [Column(name, content if filled else "empty", values, missing=missing)]
    if getattr(feature, "dtype", "").endswith("binary"):
        return [_of_files(name, filled)]
    texts = [str(cell).strip() for cell in filled if str(cell).strip()]
    content = _content(name, texts, getattr(feature, "dtype", ""))
    decimal, unsure = _notation(texts) if content == "number" else (None, "")
    if content != "empty" and (bare := _without_sign(texts)):
        content, (decimal, unsure) = "number", _notation(bare)
        decimal = decimal or "."
    words = sum(len(text.split()) for text in texts) / max(1, len(texts))
    empty = len(_train(values)) - len(texts)
    return [Column(name, content, values, (), words, len(set(texts)), empty, decimal=decimal, unsure=unsure)]


def _without_sign(texts: Sequence[str]) -> list[str]:
    """The numbers of a column in which some have a currency or %, and always the same one; none of other columns."""
    matches = [match for text in texts if (match := _SIGNED.fullmatch(text))]
    signs = {sign for match in matches for sign in (match["before"], match["after"]) if sign}
    return (
        [match["sign"] + match["number"] for match in matches] if (len(matches), len(signs)) == (len(texts), 1) else []
    )


def _notation(texts: Sequence[str]) -> tuple[Literal[",", "."] | None, str]:
    """What stands before the decimals of numbers, if some have a comma; and one that leaves it open, if all do."""
    with_comma = [text for text in texts if "," in text]
    if not with_comma or not all(map(_NUMBER.fullmatch, texts)):
        return None, ""
    if not all(map(_THOUSANDS.fullmatch, with_comma)):
        return ",", ""
    open_ones = [text for text in with_comma if _ONE_GROUP.fullmatch(text)]
    is_open = len(open_ones) == len(with_comma) and not any("." in text for text in texts)
    return ".", open_ones[0] if is_open else ""


def _class_names(feature: Any, numbers: Sequence[int | None]) -> list[str]:
    """The names of some classes; a hidden one, -1, has none."""
    return [feature.names[number] for number in numbers if number is not None and number >= 0]


def _of_mappings(name: str, feature: Any, values: Mapping[str, list[Any]]) -> list[Column]:
    """A column of mappings, and one for each of its parts."""
    parts = list(feature.languages) if hasattr(feature, "languages") else list(feature)
    if "bytes" in parts and set(parts) <= {"bytes", "path"}:
        return [_of_files(name, [cell["bytes"] for cell in _train(values) if cell and cell["bytes"]])]
    whole = Column(name, "boxes" if "bbox" in parts else "mapping", values)
    if whole.content == "boxes":
        return [whole]
    below = []
    for part in parts:
        inner = {split: [cell.get(part) if cell else None for cell in them] for split, them in values.items()}
        kind = feature[part] if isinstance(feature, dict) else None
        if not isinstance(kind, dict) and not hasattr(kind, "feature"):
            below += _columns(f"{name}.{part}", kind, inner)
    return [whole, *below]


def _of_files(name: str, contents: Sequence[bytes]) -> Column:
    """A column of files, recordings by the first bytes of one, else images."""
    return Column(name, "audio" if contents and bytes(contents[0][:4]) in _AUDIO else "image")


def _train(values: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
    return values["train"] if "train" in values else next(iter(values.values()), [])


def _content(name: str, texts: Sequence[str], dtype: str) -> Content:
    """What a column of strings, numbers or truth values holds."""
    distinct = set(texts)
    if len(distinct) < 2 and len(texts) > 1 or not texts:
        return "empty"
    if dtype.startswith(("timestamp", "date", "time", "duration")) or all(map(_DATE.fullmatch, texts)):
        return "date"
    if {text.lower() for text in distinct} <= _FLAGS:
        return "flag"
    if all(map(_NUMBER.fullmatch, texts)):
        return _of_numbers(name, texts, distinct)
    for media, content in _FILES:
        if all(_PATH.fullmatch(text) and media.includes(Path(text)) for text in map(_without_query, distinct)):
            return content
    return _of_words(texts, distinct)


def _without_query(text: str) -> str:
    """The address of a file without what stands behind its name: `https://a.org/1.jpg?size=2`."""
    return text.partition("?")[0] if text.startswith(("http://", "https://")) else text


def _of_words(texts: Sequence[str], distinct: set[str]) -> Content:
    """Ids, names of classes, or texts."""
    if len(distinct) == len(texts) and all(map(_ID.fullmatch, texts)):
        return "id"
    average = sum(len(text.split()) for text in texts) / len(texts)
    parts = {part.strip() for text in distinct for part in re.split("[,;|]", text)}
    recur = min(len(distinct), len(parts)) <= max(2, _DISTINCT * len(texts))
    return "class" if recur and average <= _WORDS and max(map(len, distinct)) <= _LETTERS else "text"


def _of_numbers(name: str, texts: Sequence[str], distinct: set[str]) -> Content:
    """Ids, classes or quantities."""
    words = set(re.findall("[a-z]+", re.sub("([a-z])([A-Z])", r"\1 \2", name).lower()))
    whole = all(text.lstrip("+-").isdigit() for text in texts)
    ascending = whole and all(int(b) - int(a) == 1 for a, b in zip(texts, texts[1:], strict=False))
    if whole and (ascending or (words & _ID_NAMES and len(distinct) == len(texts))):
        return "id"
    return "class" if whole and len(distinct) <= max(2, _DISTINCT * len(texts)) else "number"
