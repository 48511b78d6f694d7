"""Feature types: what a column of a data set holds, how it is cast, and how a cell of it is read.

A task declares its inputs and its target with them. `read` gives a cell's value, and bytes that are equal for equal
contents, by which duplicates are found.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hftransfer.core.arrow import cast_column
from hftransfer.core.errors import DataError
from hftransfer.core.media import location, open_audio, open_image, open_mask, read_image

if TYPE_CHECKING:
    from datasets import Dataset

Cell = Any
"""What a cell of a table holds: JSON, or an image or a recording as `datasets` gives it."""
# Characters of a text.
_LONGEST = 10_000_000
# How the class of an object may be called, the usual name first.
CATEGORIES = ("category", "categories", "category_id", "label", "labels", "id")
CHOICES = "choices"
"""The key under which Label Studio writes several choices, where one choice is a string."""


@dataclass(frozen=True)
class Feature:
    """Base of the feature types."""

    optional: bool = False
    """Whether a data set may lack the column."""

    name: ClassVar[str]
    """The word for it in messages."""
    from_several_columns: ClassVar[bool] = False
    """Whether `data.columns` may give several columns for it."""
    each_line: ClassVar[str] = ""
    """What a line is of several that somebody writes on a page; nothing where the lines belong together."""

    def cast(self, rows: Dataset, role: str, *, decode: bool) -> Dataset:
        """The rows with the column in the type of the feature; images decoded, or as bytes.

        Raises:
            DataError: the column holds something else.
        """
        return rows

    def read(self, role: str, cell: Cell) -> tuple[Cell, bytes]:
        """A cell's value, and bytes that are equal for equal contents.

        Raises:
            DataError: the cell is empty or cannot be read; the sentence lacks the row.
        """
        if self.is_empty(cell):
            raise DataError(f"the {role} is empty")
        return self._read(role, cell)

    def without_decoding(self) -> Self:
        """The feature for a first reading of the rows, whose pixels are decoded later anyway."""
        return self

    def parse(self, text: str) -> Cell:
        """A value out of what somebody types: the text itself, or the path of a file.

        Raises:
            DataError: there is no such file, or it cannot be read.
        """
        return text

    def argument(self, value: str) -> str:
        """What somebody writes or uploads on a page, as one of the arguments with tabs between that a task parses."""
        return value.replace("\t", " ")

    def is_empty(self, cell: Cell) -> bool:
        """Whether a cell holds nothing."""
        return cell is None or (isinstance(cell, float) and bool(np.isnan(cell)))

    def _read(self, role: str, cell: Cell) -> tuple[Cell, bytes]:
        return cell, repr(cell).encode()

    def _cast(self, rows: Dataset, role: str, feature: Any) -> Dataset:
        import pyarrow

        try:
            return cast_column(rows, role, feature)
        except (TypeError, ValueError, pyarrow.ArrowException):
            raise DataError(
                f"the column of the role '{role}' should hold {self.name}, and holds {rows.features[role]}"
            ) from None


@dataclass(frozen=True)
class Text(Feature):
    """A string."""

    name: ClassVar[str] = "text"
    from_several_columns: ClassVar[bool] = True

    def cast(self, rows: Dataset, role: str, *, decode: bool) -> Dataset:
        from datasets import Value

        if rows.features[role] in (Value("string"), Value("large_string")):
            return rows
        return self._cast(rows, role, Value("string"))

    def _read(self, role: str, cell: str) -> tuple[str, bytes]:
        if not cell.strip():
            raise DataError(f"the {role} is empty")
        if len(cell) > _LONGEST:
            raise DataError(
                f"the {role} has {len(cell):,} characters, and no cell may have more than {_LONGEST:,}, which would "
                "all be tokenized at once: part it into rows"
            )
        return cell, cell.encode()


@dataclass(frozen=True)
class Words(Feature):
    """A list of words."""

    name: ClassVar[str] = "words"

    def parse(self, text: str) -> list[str]:
        return text.split()

    def _read(self, role: str, cell: Cell) -> tuple[list[str], bytes]:
        if not isinstance(cell, list) or not all(isinstance(word, str) for word in cell):
            raise DataError(f"the {role} should be a list of words, got {cell!r:.60}")
        if not cell:
            raise DataError(f"the {role} are empty")
        return cell, repr(cell).encode()


@dataclass(frozen=True)
class _File(Feature):
    """What lies in a file: its bytes in the table, or its path."""

    def is_empty(self, cell: Cell) -> bool:
        lost = isinstance(cell, dict) and not (cell.get("bytes") or cell.get("path"))
        return lost or super().is_empty(cell)

    def _read(self, role: str, cell: Cell) -> tuple[Cell, bytes]:
        try:
            return self._open(location(cell))
        except DataError as error:
            path = cell.get("path") if isinstance(cell, dict) else None
            raise DataError(f"{path}: {error}" if path and path not in str(error) else str(error)) from None

    def _open(self, where: str | bytes) -> tuple[Cell, bytes]:
        raise NotImplementedError


@dataclass(frozen=True)
class Image(_File):
    """A picture in a file. Duplicates are found by the bytes of the file, and not by its pixels."""

    decode: bool = True
    """Whether `read` decodes the pixels, by which files are found that are not whole."""

    name: ClassVar[str] = "image"

    def without_decoding(self) -> Self:
        return replace(self, decode=False)

    def parse(self, text: str) -> Cell:
        return open_image(text)

    def cast(self, rows: Dataset, role: str, *, decode: bool) -> Dataset:
        from datasets import Image as ImageColumn

        return self._cast(rows, role, ImageColumn(decode=decode))

    def _open(self, where: str | bytes) -> tuple[Cell, bytes]:
        picture = read_image(where, decode=self.decode)
        return picture, picture.content


@dataclass(frozen=True)
class Mask(Image):
    """A picture whose pixels are class numbers or, in a palette, classes; always decoded."""

    name: ClassVar[str] = "mask"

    def _open(self, where: str | bytes) -> tuple[Cell, bytes]:
        numbers = open_mask(where)
        return numbers, f"{numbers.shape}".encode() + numbers.tobytes()


@dataclass(frozen=True)
class Audio(_File):
    """A recording, kept encoded; read as samples of shape (time,) and their rate in Hz."""

    name: ClassVar[str] = "audio"

    def parse(self, text: str) -> Cell:
        open_audio(text)
        return {"bytes": None, "path": text}

    def cast(self, rows: Dataset, role: str, *, decode: bool) -> Dataset:
        from datasets import Audio as AudioColumn
        from datasets import Features, Value

        feature = rows.features[role]
        if getattr(feature, "dtype", "").endswith("string"):
            # The readers of CSV make large strings, which Arrow does not cast to a recording.
            rows = rows.cast_column(role, Value("string"))
        if isinstance(feature, dict) and {"array", "sampling_rate"} <= feature.keys():
            stored = {"bytes": Value("binary"), "path": Value("string")}
            rows = rows.map(lambda row: {role: _as_file(row[role])}, features=Features(rows.features | {role: stored}))
        return self._cast(rows, role, AudioColumn(decode=False))

    def _open(self, where: str | bytes) -> tuple[Cell, bytes]:
        samples, rate = open_audio(where)
        return (samples, rate), f"{rate}".encode() + samples.tobytes()


@dataclass(frozen=True)
class Label(Feature):
    """A class, several classes, a number, or a class for each word."""

    name: ClassVar[str] = "labels"
    from_several_columns: ClassVar[bool] = True

    def cast(self, rows: Dataset, role: str, *, decode: bool) -> Dataset:
        if isinstance(rows.features[role], dict):
            part = next(iter(rows.features[role]), "part")
            raise DataError(
                f"the column of the role '{role}' should hold labels, and holds mappings; data.columns.{role} names a "
                f"part of them, such as COLUMN.{part}"
            )
        return rows

    def is_empty(self, cell: Cell) -> bool:
        return super().is_empty(cell) or (isinstance(cell, str) and not cell.strip())

    def _read(self, role: str, cell: Cell) -> tuple[Cell, bytes]:
        if isinstance(cell, dict):
            raise DataError(f"the {role} is a mapping, {cell!r:.60}, not a name, a number or a list of names")
        return super()._read(role, cell)


@dataclass(frozen=True)
class Boxes(Feature):
    """The objects of an image: their boxes and classes, as a mapping of lists or a list of mappings."""

    name: ClassVar[str] = "objects"


@dataclass(frozen=True)
class Json(Feature):
    """Anything that JSON can hold; the task itself checks it."""

    name: ClassVar[str] = "JSON"


def _as_file(cell: dict[str, Any]) -> dict[str, Any]:
    """A recording given as samples and their rate, as the WAV file that it would be."""
    import soundfile

    buffer = io.BytesIO()
    samples = np.asarray(cell["array"], dtype=np.float32)
    soundfile.write(buffer, samples.T if samples.ndim > 1 else samples, cell["sampling_rate"], "FLOAT", format="WAV")
    return {"bytes": buffer.getvalue(), "path": None}


def class_names(feature: Any) -> list[str] | None:
    """The names that a data set gives to the numbers in a column of classes, or of lists of them."""
    names: list[str] | None = getattr(feature, "names", None)
    return class_names(feature.feature) if names is None and hasattr(feature, "feature") else names


def unnamed_class(feature: Any, cell: Cell) -> int | None:
    """A class number within a cell that is outside of the names that the data set gives: -1 where a label is hidden."""
    if getattr(feature, "names", None) is not None:
        return cell if isinstance(cell, int) and not 0 <= cell < len(feature.names) else None
    if isinstance(feature, dict) and isinstance(cell, dict):
        parts = [(feature[key], cell[key]) for key in [key for key in CATEGORIES if key in feature][:1]]
    else:
        parts = [(feature.feature, item) for item in cell] if hasattr(feature, "feature") and cell else []
    return next((number for number in (unnamed_class(*part) for part in parts) if number is not None), None)


def extras_of(features: Iterable[Feature]) -> list[str]:
    """The extras of hftransfer-recipes for rows with these features."""
    groups = {"text": Text | Words, "vision": Image, "speech": Audio}
    inputs = list(features)
    return [extra for extra, kind in groups.items() if any(isinstance(it, kind) for it in inputs)]
