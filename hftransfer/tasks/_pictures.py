"""What the tasks on images share."""

import base64
import io
from typing import Any

import numpy as np

from hftransfer.cells import rgb


def new_processor(config: Any, side: int | None = None) -> Any:
    """The image processor of a new model, with the given side or that of its config; None where it has none."""
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

    if type(config) not in IMAGE_PROCESSOR_MAPPING:
        return None
    kinds = IMAGE_PROCESSOR_MAPPING[type(config)]
    # A pair in Transformers 4; by name in 5.
    slow = kinds["pil"] if isinstance(kinds, dict) else kinds[0]
    size = side or getattr(config, "image_size", None)
    return slow() if size is None else scaled(slow(), size)


def scaled(processor: Any, side: int | tuple[int, int]) -> Any:
    """A processor of the same kind and fields that makes images of a side, or of a height and width."""
    height, width = (side, side) if isinstance(side, int) else side
    fixed = {"height": height, "width": width}
    # Detectors keep the shape of an image by default; their config says otherwise.
    whole = "height" in processor.size or "longest_edge" in processor.size
    sizes = {"size": fixed if whole else {"shortest_edge": min(height, width)}}
    if hasattr(processor, "crop_size"):
        sizes["crop_size"] = fixed
    return type(processor)(**{**processor.to_dict(), **sizes})


def shown(image: Any) -> dict[str, Any]:
    """A small copy for a report."""
    picture = rgb(image)
    picture.thumbnail((160, 160))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return {"image": base64.b64encode(buffer.getvalue()).decode("ascii")}


def resized_crop(
    pixels: np.ndarray, least: float, draw: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """A random part of an image (channels, height, width), sides 3:4 to 4:3, in the size of the whole.

    With it its left, top, right and bottom edge, as shares of the whole.
    """
    import torch

    _, height, width = pixels.shape
    area, ratio = draw.uniform(least, 1), np.exp(draw.uniform(np.log(3 / 4), np.log(4 / 3)))
    high, wide = (
        max(1, round(side)) for side in (height * min(1, (area / ratio) ** 0.5), width * min(1, (area * ratio) ** 0.5))
    )
    top, left = draw.integers(0, height - high + 1), draw.integers(0, width - wide + 1)
    part = torch.from_numpy(np.ascontiguousarray(pixels[:, top : top + high, left : left + wide]))
    resized = torch.nn.functional.interpolate(part[None], size=(height, width), mode="bilinear", antialias=True)
    return np.asarray(resized[0]), (left / width, top / height, (left + wide) / width, (top + high) / height)
