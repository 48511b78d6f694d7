"""What the cells of a data set hold: text, words, pictures, recordings; how each is read, and told from others."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hftransfer.core.errors import DataError

Kind = Literal["text", "words", "image", "audio", "label", "objects"]

_FROM = "paths in a table count from the working directory"
# How the class of an object may be called, the usual first.
CATEGORIES = ("category", "categories", "category_id", "label", "labels", "id")


def read_value(kind: Kind, role: str, cell: Any) -> tuple[Any, bytes]:
    """A cell's value, and bytes that are equal for equal contents.

    Raises:
        DataError: it is empty or cannot be read; the sentence lacks the row.
    """
    lost = kind in ("image", "audio") and isinstance(cell, dict) and not (cell.get("bytes") or cell.get("path"))
    if cell is None or lost or (isinstance(cell, float) and np.isnan(cell)):
        raise DataError(f"the {role} is empty")
    return _READERS[kind](role, cell)


def cast_column(kind: Kind, role: str, rows: Any, decode: bool) -> Any:
    """The rows with a column of the kind's type; images as pictures, or as their bytes. Recordings stay encoded."""
    import pyarrow
    from datasets import Audio, Features, Image, Value

    feature = rows.features[role]
    if kind == "audio" and getattr(feature, "dtype", "").endswith("string"):
        # The readers of CSV make large strings, which Arrow does not cast to a recording.
        rows = rows.cast_column(role, Value("string"))
    if kind == "label" and isinstance(feature, dict):
        raise DataError(f"the column of the role '{role}' should hold labels, and holds mappings; name a part of them")
    if kind == "audio" and isinstance(feature, dict) and {"array", "sampling_rate"} <= feature.keys():
        stored = {"bytes": Value("binary"), "path": Value("string")}
        rows = rows.map(lambda row: {role: _stored(row[role])}, features=Features(rows.features | {role: stored}))
    types = {"text": Value("string"), "image": Image(decode=decode), "audio": Audio(decode=False)}
    try:
        return rows.cast_column(role, types[kind]) if kind in types else rows
    except (TypeError, ValueError, pyarrow.ArrowException):
        raise DataError(f"the column of the role '{role}' should hold {kind}, and holds {feature}") from None


def _stored(cell: dict[str, Any]) -> dict[str, Any]:
    """A recording of samples and their rate as the file that it would be."""
    import soundfile

    buffer = io.BytesIO()
    samples = np.asarray(cell["array"], dtype=np.float32)
    soundfile.write(buffer, samples.T if samples.ndim > 1 else samples, cell["sampling_rate"], "FLOAT", format="WAV")
    return {"bytes": buffer.getvalue(), "path": None}


def class_names(feature: Any) -> list[str] | None:
    """The names that a data set gives to the numbers in a column of classes, or of lists of them."""
    found: list[str] | None = getattr(feature, "names", None)
    return class_names(feature.feature) if found is None and hasattr(feature, "feature") else found


def unnamed_class(feature: Any, cell: Any) -> int | None:
    """A number within a cell which the data set names classes for, and not this one: -1, where a label is unknown."""
    if getattr(feature, "names", None) is not None:
        return cell if isinstance(cell, int) and not 0 <= cell < len(feature.names) else None
    if isinstance(feature, dict) and isinstance(cell, dict):
        parts = [(feature[key], cell[key]) for key in [key for key in CATEGORIES if key in feature][:1]]
    else:
        parts = [(feature.feature, one) for one in cell] if hasattr(feature, "feature") and cell else []
    return next((it for it in (unnamed_class(*part) for part in parts) if it is not None), None)


def rgb(picture: Any) -> Any:
    """A PIL image in mode RGB; 12 or 16 bits a channel are scaled to 8, where `convert` alone would cut them off.

    Raises:
        ValueError: it holds decimals, of which nobody knows what is white.
    """
    if picture.mode == "F":
        raise ValueError("decimals")
    if picture.mode.startswith("I;16") or picture.mode == "I":
        from PIL import Image

        whole = np.asarray(picture, dtype=np.uint32)
        # X-rays have 12 bits, others 8, in the place of 16 or 32.
        shift = max(0, int(whole.max(initial=0)).bit_length() - 8)
        shift = next(it for it in (0, 4, 8, 24) if it >= shift)
        picture = Image.fromarray((whole >> shift).clip(0, 255).astype(np.uint8))
    return picture.convert("RGB")


def open_image(where: Any) -> Any:
    """A file, or bytes, as a PIL image in mode RGB, turned as its EXIF orientation says.

    Raises:
        DataError: it is no image, or not whole.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = where if isinstance(where, str) else "an image"
    try:
        with Image.open(io.BytesIO(where) if isinstance(where, bytes) else where) as image:
            return rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise DataError(f"there is no image file '{name}' ({_FROM})") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is not a readable image ({type(error).__name__})") from None


def open_audio(where: Any) -> tuple[np.ndarray, int]:
    """A file, or bytes, as samples of shape (time,), float32 in [-1, 1], channels averaged, and their rate in Hz.

    Raises:
        DataError: it is no recording, or an empty one.
    """
    import soundfile

    name = where if isinstance(where, str) else "a recording"
    if isinstance(where, str) and not Path(where).is_file():
        raise DataError(f"there is no recording '{name}' ({_FROM})")
    try:
        samples, rate = soundfile.read(
            io.BytesIO(where) if isinstance(where, bytes) else where, dtype="float32", always_2d=True
        )
    except (soundfile.LibsndfileError, TypeError):
        raise DataError(f"{name} is not a readable recording") from None
    if not len(samples):
        raise DataError(f"{name} holds no samples")
    return samples.mean(axis=1), rate


def seconds(cell: Any) -> float:
    """How long a recording lasts, by its head alone."""
    import soundfile

    where = location(cell)
    return float(soundfile.info(io.BytesIO(where) if isinstance(where, bytes) else where).duration)


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """The samples, shape (time,), at another rate, band-limited (soxr, high quality)."""
    import soxr

    return samples if rate == target else np.asarray(soxr.resample(samples, rate, target), dtype=np.float32)


def location(cell: Any) -> Any:
    """Where an undecoded image or recording lies: its bytes, or else its path."""
    return cell["bytes"] or cell["path"] if isinstance(cell, dict) else cell


def _named(cell: Any, error: DataError) -> DataError:
    """The error with the path of a file whose bytes were read beforehand."""
    path = cell.get("path") if isinstance(cell, dict) else None
    return DataError(f"{path}: {error}" if path and path not in str(error) else str(error))


def _text(role: str, cell: str) -> tuple[str, bytes]:
    if not cell.strip():
        raise DataError(f"the {role} is empty")
    return cell, cell.encode()


def _words(role: str, cell: Any) -> tuple[list[str], bytes]:
    if not isinstance(cell, list) or not all(isinstance(word, str) for word in cell):
        raise DataError(f"the {role} should be a list of words, got {cell!r:.60}")
    if not cell:
        raise DataError(f"the {role} are empty")
    return cell, "\0".join(cell).encode()


def _image(_role: str, cell: Any) -> tuple[Any, bytes]:
    try:
        picture = open_image(location(cell))
    except DataError as error:
        raise _named(cell, error) from None
    return picture, f"{picture.size}".encode() + picture.tobytes()


def _audio(_role: str, cell: Any) -> tuple[tuple[np.ndarray, int], bytes]:
    try:
        samples, rate = open_audio(location(cell))
    except DataError as error:
        raise _named(cell, error) from None
    return (samples, rate), f"{rate}".encode() + samples.tobytes()


def _as_it_is(_role: str, cell: Any) -> tuple[Any, bytes]:
    return cell, repr(cell).encode()


_READERS: dict[str, Callable[[str, Any], tuple[Any, bytes]]] = {
    "text": _text,
    "words": _words,
    "image": _image,
    "audio": _audio,
    "label": _as_it_is,
    "objects": _as_it_is,
}
