"""Near copies of images: the correlation of their edges, one image laid on every part of the other, also mirrored.

So a copy that was cropped (in proportion), compressed, made brighter, smaller or mirrored is found, and two pictures of
like things are not, whose edges are elsewhere or of another colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.auditing.neighbours import nearest

if TYPE_CHECKING:
    from PIL.Image import Image

# Pixels of a side; sides of the parts that are looked for, the coarse ones first; and the correlation of a coarse one
# without which no finer one is tried.
_SIDE, _COARSE, _PROMISING = 48, (36, 39, 42, 45), 0.7
# The correlation of whole images from which on they are near copies; that of parts where the features are the same; and
# by how much it has to be higher the farther the features are from each other. All were set on the sample stamps.
_SURE, _SAME, _SLOPE = 0.97, 0.8, 0.5
_NEIGHBOURS = 5


class ImageContents:
    """Small copies of some images in colour."""

    def __init__(self, images: Iterable[Image]) -> None:
        """The images, in mode RGB, are read one by one."""
        self._small = np.stack([_small(image) for image in images])

    def candidates(self) -> Iterator[tuple[int, int]]:
        """Pairs of images whose grey levels are near each other, as they are or mirrored."""
        grey = self._small.mean(axis=3, dtype=np.float32)
        flat, mirrored = (_standardized(it.reshape(len(grey), -1)) for it in (grey, grey[:, :, ::-1]))
        both = nearest(np.concatenate([flat, mirrored]), _NEIGHBOURS)[: len(grey)]
        for place, others in enumerate(both % len(grey)):
            yield from ((place, int(other)) for other in others if other != place)

    def similarity(self, first: int, second: int, distance: float | None) -> float | None:
        """The correlation of two images where they fit best; None where they are no near copies."""
        one, other = self._small[first], self._small[second]
        needed = _SURE if distance is None else min(_SURE, _SAME + _SLOPE * distance)
        for image in (one, one[:, ::-1]):
            best = float(_correlations(_edges(image), _edges(other)).max())
            # Nothing correlates by more than 1.
            if best < needed and distance is not None and _SAME + _SLOPE * distance < 1:
                best = max(best, _fit(image, other), _fit(other, image))
            if best >= needed:
                return best
        return None


def _small(image: Image) -> np.ndarray:
    from PIL.Image import Resampling

    return np.asarray(image.convert("RGB").resize((_SIDE, _SIDE), Resampling.BOX))


def _fit(image: np.ndarray, other: np.ndarray) -> float:
    """The highest correlation of the whole of an image with a part of another that is smaller than it."""
    edges = _edges(other)
    found = {size: _part(image, size, edges) for size in _COARSE}
    size = max(found, key=lambda it: found[it])
    if found[size] < _PROMISING:
        return found[size]
    finer = (it for it in range(size - 2, size + 3) if it not in found and it < _SIDE)
    return max([found[size], *(_part(image, it, edges) for it in finer)])


def _part(image: np.ndarray, size: int, edges: np.ndarray) -> float:
    from PIL import Image
    from PIL.Image import Resampling

    smaller = Image.fromarray(image).resize((size, size), Resampling.BILINEAR)
    return float(_correlations(_edges(np.asarray(smaller)), edges).max())


def _edges(image: np.ndarray) -> np.ndarray:
    """The length of the gradient of each colour at each pixel but for those of the border."""
    levels = image.astype(np.float32)
    return np.asarray(np.hypot(levels[1:-1, 2:] - levels[1:-1, :-2], levels[2:, 1:-1] - levels[:-2, 1:-1]))


def _correlations(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The correlation of an array with each part of its shape of a larger one, one value a place."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape).reshape(-1, part.size)
    return np.asarray(_standardized(windows) @ _standardized(part.reshape(1, -1))[0])


def _standardized(rows: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and length 1; one of equal values is 0."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(lengths, 1e-3))
