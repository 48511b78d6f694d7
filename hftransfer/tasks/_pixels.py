"""Pixels as they are cached and as a model takes them: bytes after resizing and cropping, normalized when read.

A normalized pixel is four bytes of what one byte says, and `encode` need not compute it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from hftransfer.tasks._types import Processor

if TYPE_CHECKING:
    from PIL.Image import Image

# Image processor -> its table of normalized values, None where it has none.
_TABLES: WeakKeyDictionary[Processor, np.ndarray | None] = WeakKeyDictionary()
_BYTES_ONLY: dict[str, Any] = {"do_rescale": False, "do_normalize": False}


def encode_pixels(processor: Processor, images: Sequence[Image]) -> np.ndarray:
    """What an image processor makes of images in mode RGB, shape (images, channels, height, width).

    Of dtype uint8 where `normalized` can do the rest, else float32 and complete.
    """
    options = _layout(processor) | ({} if _table(processor) is None else _BYTES_ONLY)
    return np.asarray(processor(images=list(images), return_tensors="np", **options)["pixel_values"])


def normalized(processor: Processor, pixels: np.ndarray) -> np.ndarray:
    """Encoded pixels, shape (channels, height, width), rescaled and normalized as the processor does it; float32.

    Floats are taken to be normalized already.
    """
    pixels = np.asarray(pixels)
    table = None if pixels.dtype.kind == "f" else _table(processor)
    if table is None:
        return pixels
    made = np.empty(pixels.shape, np.float32)
    for channel, values in enumerate(table):
        # Bytes are always in range; the default mode would check that, and copy.
        np.take(values, pixels[channel], out=made[channel], mode="clip")
    return made


def _layout(processor: Processor) -> dict[str, Any]:
    """What tells a processor where an image has its channels.

    Some guess it, and take a height of 1 or 3 pixels for channels; some by the first image of a batch for all of them.
    """
    method = processor.preprocess if hasattr(processor, "preprocess") else processor.__call__
    taken = inspect.signature(method).parameters.values()
    known = any(it.name == "input_data_format" or it.kind is it.VAR_KEYWORD for it in taken)
    return {"input_data_format": "channels_last"} if known else {}


def _table(processor: Processor) -> np.ndarray | None:
    """The normalized value of each byte, shape (channels, 256); None where a pixel's value depends on more than that.

    The processor itself is asked, with an image that holds every byte. Two others, wide and tall, show whether bytes
    and table make what the processor makes at once: not so where it pads normalized images, or resizes floats.
    """
    if processor not in _TABLES:
        _TABLES[processor] = _find_table(processor)
    return _TABLES[processor]


def _find_table(processor: Processor) -> np.ndarray | None:
    from PIL import Image

    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2))
    steps = ("do_resize", "do_center_crop", "do_pad")
    without = {step: False for step in steps if hasattr(processor, step)}
    noise = np.random.default_rng(0).integers(0, 256, (45, 60, 3), dtype=np.uint8)
    try:
        values = processor(images=[ramp], return_tensors="np", **without)["pixel_values"][0]
        if values.shape != (3, 16, 16) or values.dtype != np.float32:
            return None
        table = values.reshape(3, 256)
        for image in (Image.fromarray(noise), Image.fromarray(noise.transpose(1, 0, 2).copy())):
            expected = processor(images=[image], return_tensors="np")["pixel_values"][0]
            pixels = processor(images=[image], return_tensors="np", **_BYTES_ONLY)["pixel_values"][0]
            if pixels.dtype != np.uint8 or pixels.shape != expected.shape:
                return None
            found = np.stack([row[channel] for row, channel in zip(table, pixels, strict=True)])
            if not np.allclose(found, expected, rtol=0, atol=1e-6):
                return None
    except (TypeError, ValueError):
        # Processors of a checkpoint's own code may take no such arguments.
        return None
    return np.ascontiguousarray(table)
