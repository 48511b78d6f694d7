"""What the tasks on images share."""

import numpy as np


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
