"""Images and recordings as files hold them: opened, brought to one form, resampled."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hftransfer.core.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image
    from soundfile import SoundFile

_RELATIVE = "paths in a table count from the working directory"
READING_ERRORS = (OSError, SyntaxError, ValueError)
"""What Pillow raises for images that are not whole."""
MAX_PIXELS = 100_000_000
"""An image with more is refused before it is decoded: a few kilobytes may say that they are gigabytes."""
# Power of the averaged channels as a share of that of the channels; noise from two microphones has a half.
_CANCELLED = 0.01
_UNKNOWN_LENGTH = 0x7FFF0000
# Bytes within which a recording says how long it is.
_HEAD = 4096
WIDEST = 65_535
"""The largest value of 16 bits."""


class PixelError(ValueError):
    """The pixels of an image are of a kind that cannot be used."""


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


def rgb(
    picture: Image, pixel_range: tuple[int, int] | None = None, background: Literal["white", "black"] = "white"
) -> Image:
    """A PIL image in mode RGB, itself where it has that mode; where it is transparent, laid on the background.

    `convert` alone would leave black what is transparent, and cut off more than 8 bits. One channel of 16 or 32 bits is
    scaled by `pixel_range`, the values that become black and white; left out, 0 and 65,535.

    Raises:
        PixelError: it holds decimals; or, without `pixel_range`, values outside of it.
    """
    _refuse_decimals(picture)
    if has_wide_pixels(picture):
        picture = _as_bytes(picture, pixel_range)
    if picture.has_transparency_data:
        from PIL import Image

        # Pillow converts no other premultiplied mode than RGBa.
        picture = picture.convert("LA") if picture.mode == "La" else picture
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, background), picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _refuse_decimals(picture: Image) -> None:
    if picture.mode == "F":
        raise PixelError(
            "its pixels are decimals, of which nobody knows what is white: save it with 8 or 16 bits a channel"
        )


def has_wide_pixels(picture: Image) -> bool:
    """Whether an image has one channel of whole numbers of more than 8 bits."""
    return str(picture.mode).startswith("I")


def loses_bits(picture: Image) -> bool:
    """Whether an image file, not yet decoded, has 16 bits a channel, of which Pillow reads the upper 8."""
    return not has_wide_pixels(picture) and any(";16" in str(part[3]) for part in getattr(picture, "tile", ()))


def _as_bytes(picture: Image, pixel_range: tuple[int, int] | None) -> Image:
    """One channel of 16 or 32 bits as one of 8, by one scale for all images; what is transparent, transparent still."""
    from PIL import Image

    values = np.asarray(picture).astype(np.int64)
    low, high = pixel_range or (0, WIDEST)
    if pixel_range is None and (values.min() < low or values.max() > high):
        raise PixelError(
            f"its pixels go from {values.min():,} to {values.max():,}, and those of 16 bits from 0 to {WIDEST:,}"
        )
    scaled = (values.clip(low, high) - low) * 255 // max(1, high - low)
    transparent = picture.info.get("transparency")
    if transparent is None:
        return Image.fromarray(scaled.astype(np.uint8))
    return Image.fromarray(np.stack([scaled, (values != transparent) * 255], axis=2).astype(np.uint8))


def _missing(name: str, what: str) -> DataError:
    if name.startswith(("http://", "https://")):
        return DataError(
            f"'{name}' is an address, and no files are downloaded: save them in a folder first, and name their paths"
        )
    return DataError(f"there is no {what} file '{name}' ({_RELATIVE})")


@contextmanager
def opened(where: str | bytes, what: str = "image") -> Iterator[Image]:
    """The PIL image in a file, or in bytes, its pixels not yet decoded.

    Raises:
        DataError: in place of what Pillow raises, with the name of the image; also where it has too many pixels.
    """
    from PIL import Image

    name = where if isinstance(where, str) else f"{'an' if what == 'image' else 'a'} {what}"
    try:
        # The bound here is lower than the one by which Pillow warns or refuses.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(where) if isinstance(where, bytes) else where)
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except FileNotFoundError:
        raise _missing(name, what) from None
    except Image.DecompressionBombError:
        raise DataError(f"{name} has more than the {MAX_PIXELS:,} pixels that are read: make it smaller") from None
    except PixelError as error:
        raise DataError(f"{name}: {error}") from None
    except READING_ERRORS as error:
        raise DataError(f"{name} is not a readable image ({type(error).__name__})") from None


def open_image(where: str | bytes) -> Image:
    """A file, or bytes, as a PIL image in its own mode, turned as its EXIF orientation says.

    Raises:
        DataError: it is no image, not whole, too large, or of decimals.
    """
    from PIL import ImageOps

    with opened(where) as image:
        _refuse_decimals(image)
        return ImageOps.exif_transpose(image)


def read_image(where: str | bytes, *, decode: bool) -> EncodedImage:
    """A file, or bytes, as the image that they encode; its pixels are decoded only to make sure that they can be.

    Raises:
        DataError: it is no image, too large, or of decimals; where it is decoded, it is not whole.
    """
    if decode:
        open_image(where)
    with opened(where) as image:
        _refuse_decimals(image)
        return EncodedImage(where if isinstance(where, bytes) else Path(where).read_bytes())


def class_numbers(mask: Image) -> np.ndarray:
    """The class number of each pixel of a mask, shape (height, width): its grey level, or its place in the palette.

    Of a GIF in greys it is the grey level, since each has a palette of its own.

    Raises:
        PixelError: the picture has colours without a palette, which name no classes.
    """
    if mask.mode in ("1", "L") or has_wide_pixels(mask) or (mask.mode == "P" and mask.format != "GIF"):
        return np.asarray(mask).astype(np.int64)
    colors = np.asarray(mask.convert("RGB")).astype(np.int64)
    if (colors == colors[..., :1]).all() and "A" not in mask.mode:
        return np.asarray(colors[..., 0])
    if mask.mode == "P":
        return np.asarray(mask).astype(np.int64)
    found = ["#" + bytes(color.tolist()).hex() for color in np.unique(colors.reshape(-1, 3), axis=0)]
    raise PixelError(
        f"it is no mask of class numbers (mode {mask.mode}): its {len(found):,} colours ({', '.join(found[:4])}"
        f"{', ...' * (len(found) > 4)}) name no classes: save it with one channel, the same number for a colour in all"
    )


def open_mask(where: str | bytes) -> np.ndarray:
    """A file, or bytes, as the class number of each pixel, int64 of shape (height, width).

    Raises:
        DataError: it is no image of class numbers, too large, or not whole.
    """
    with opened(where, "mask") as mask:
        return class_numbers(mask)


def open_audio(where: str | bytes) -> tuple[np.ndarray, int]:
    """A file, or bytes, as samples of shape (time,), float32 in [-1, 1], channels averaged, and their rate in Hz.

    Raises:
        DataError: it is no recording, an empty one, or one cut short; samples are no numbers, or channels cancel.
    """
    import soundfile

    name = where if isinstance(where, str) else "a recording"
    if isinstance(where, str) and not Path(where).is_file():
        raise _missing(name, "recording")
    try:
        with soundfile.SoundFile(io.BytesIO(where) if isinstance(where, bytes) else where) as file:
            samples, rate = file.read(dtype="float32", always_2d=True), file.samplerate
            cut = _is_cut(file, len(samples), _first_bytes(where))
    except (soundfile.LibsndfileError, TypeError):
        raise DataError(f"{name} is not a readable recording") from None
    if cut:
        raise DataError(f"{name} is cut short: its head says that it is longer")
    if not len(samples):
        raise DataError(f"{name} holds no samples")
    if not (finite := np.isfinite(samples)).all():
        raise DataError(f"{name} has {(~finite).sum():,} samples that are no numbers (NaN or infinite)")
    mono = samples.mean(axis=1)
    if np.square(mono, dtype=float).mean() < _CANCELLED * np.square(samples, dtype=float).mean():
        raise DataError(f"{name}: its {samples.shape[1]} channels cancel when they are averaged: save one of them")
    return mono, rate


def _first_bytes(where: str | bytes) -> bytes:
    if isinstance(where, bytes):
        return where[:_HEAD]
    with Path(where).open("rb") as file:
        return file.read(_HEAD)


def _is_cut(file: SoundFile, count: int, head: bytes) -> bool:
    """Whether a recording of so many samples is shorter than its head says, as libsndfile's log of reading it tells.

    Recorders that write into a pipe leave a length of nought, or the largest that the head can hold.
    """
    if file.format == "MP3":
        # Without the frame that holds the length, libsndfile estimates it.
        return count < 0.98 * file.frames and (b"Xing" in head or b"Info" in head)
    if file.format == "NIST":
        length = re.search(rb"sample_count -i (\d+)", head)
        return length is not None and count < int(length[1])
    stated = re.findall(r"^ *(data|SSND|Data Size|Riff size|riff) *: *(\d+) \(should be (\d+)\)", file.extra_info, re.M)
    return any(int(present) + 1 < int(length) < _UNKNOWN_LENGTH for _, length, present in stated)


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
