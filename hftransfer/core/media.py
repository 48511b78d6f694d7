"""Images and recordings as files hold them: opened, brought to one form, resampled."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_RELATIVE = "paths in a table count from the working directory"
READING_ERRORS = (OSError, SyntaxError, ValueError)
"""What Pillow raises for images that are not whole."""
# EXIF orientations under which width and height change places.
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True)
class EncodedImage:
    """An image file whose pixels need not be decoded: its size stands in its first bytes."""

    content: bytes

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height, once the image is turned as its EXIF orientation says."""
        from PIL import ExifTags, Image

        with Image.open(io.BytesIO(self.content)) as image:
            # Pillow decodes a whole PNG to look for an orientation, which hardly any has.
            may_be_turned = image.format != "PNG" or any(it in self.content for it in (b"eXIf", b"exif", b"xmp"))
            sideways = may_be_turned and image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
            return (image.height, image.width) if sideways else image.size

    @property
    def width(self) -> int:
        """In pixels."""
        return self.size[0]

    @property
    def height(self) -> int:
        """In pixels."""
        return self.size[1]


def rgb(picture: Image) -> Image:
    """A PIL image in mode RGB, itself where it has that mode.

    12 or 16 bits a channel are scaled to 8, where `convert` alone would cut them off.

    Raises:
        ValueError: it holds decimals, of which nobody knows what is white.
    """
    if picture.mode == "RGB":
        return picture
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


@contextmanager
def _named_errors(where: str | bytes) -> Iterator[None]:
    """Turns what Pillow raises into a DataError that names the image."""
    from PIL import Image

    name = where if isinstance(where, str) else "an image"
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"there is no image file '{name}' ({_RELATIVE})") from None
    except (*READING_ERRORS, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is not a readable image ({type(error).__name__})") from None


def open_image(where: str | bytes) -> Image:
    """A file, or bytes, as a PIL image in mode RGB, turned as its EXIF orientation says.

    Raises:
        DataError: it is no image, or not whole.
    """
    from PIL import Image, ImageOps

    with _named_errors(where), Image.open(io.BytesIO(where) if isinstance(where, bytes) else where) as image:
        return rgb(ImageOps.exif_transpose(image))


def read_image(where: str | bytes, *, decode: bool) -> EncodedImage:
    """A file, or bytes, as the image that they encode; its pixels are decoded only to make sure that they can be.

    Raises:
        DataError: it is no image; where it is decoded, it is not whole.
    """
    from PIL import Image

    if decode:
        open_image(where)
    with _named_errors(where):
        content = where if isinstance(where, bytes) else Path(where).read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            if image.mode == "F":
                raise ValueError("decimals")
    return EncodedImage(content)


def class_numbers(mask: Image) -> np.ndarray:
    """The class number of each pixel of a mask, shape (height, width): its grey level, or its place in the palette.

    Raises:
        ValueError: the picture has colours without a palette, which name no classes.
    """
    if mask.mode not in ("1", "L", "P", "I", "I;16"):
        raise ValueError(f"mode {mask.mode}")
    return np.asarray(mask).astype(np.int64)


def open_mask(where: str | bytes) -> np.ndarray:
    """A file, or bytes, as the class number of each pixel, int64 of shape (height, width).

    Raises:
        DataError: it is no image of class numbers, or not whole.
    """
    from PIL import Image, UnidentifiedImageError

    name = where if isinstance(where, str) else "a mask"
    try:
        with Image.open(io.BytesIO(where) if isinstance(where, bytes) else where) as mask:
            return class_numbers(mask)
    except FileNotFoundError:
        raise DataError(f"there is no mask file '{name}' ({_RELATIVE})") from None
    except ValueError as error:
        raise DataError(
            f"{name} is no mask of class numbers ({error}): save it with one channel, or with a palette"
        ) from None
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is not a readable image ({type(error).__name__})") from None


def open_audio(where: str | bytes) -> tuple[np.ndarray, int]:
    """A file, or bytes, as samples of shape (time,), float32 in [-1, 1], channels averaged, and their rate in Hz.

    Raises:
        DataError: it is no recording, or an empty one.
    """
    import soundfile

    name = where if isinstance(where, str) else "a recording"
    if isinstance(where, str) and not Path(where).is_file():
        raise DataError(f"there is no recording '{name}' ({_RELATIVE})")
    try:
        samples, rate = soundfile.read(
            io.BytesIO(where) if isinstance(where, bytes) else where, dtype="float32", always_2d=True
        )
    except (soundfile.LibsndfileError, TypeError):
        raise DataError(f"{name} is not a readable recording") from None
    if not len(samples):
        raise DataError(f"{name} holds no samples")
    return samples.mean(axis=1), rate


def audio_head(cell: Any) -> tuple[float, int]:
    """How many seconds a recording lasts and its rate in Hz, by its head alone."""
    import soundfile

    where = location(cell)
    head = soundfile.info(io.BytesIO(where) if isinstance(where, bytes) else where)
    return float(head.duration), int(head.samplerate)


def seconds(cell: Any) -> float:
    """How long a recording lasts, by its head alone."""
    return audio_head(cell)[0]


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """The samples, shape (time,), at another rate, band-limited (soxr, high quality)."""
    import soxr

    return samples if rate == target else np.asarray(soxr.resample(samples, rate, target), dtype=np.float32)


def location(cell: Any) -> Any:
    """Where an undecoded image or recording lies: its bytes, or else its path."""
    return cell["bytes"] or cell["path"] if isinstance(cell, dict) else cell
