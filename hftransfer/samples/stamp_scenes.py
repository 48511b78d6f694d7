"""Scenes of one to four stamps pasted on photographs, 160 x 160, to detect objects and to segment them (GPL-2).

Columns: `image` (PIL, mode RGB), `objects` (`bbox`: x, y, width, height in pixels; `category`: ClassLabel animal, food,
plant, tool, vehicle), `mask` (PIL, mode L, a class number a pixel: 0 is the background, the names are `MASK_CLASSES`).
The cut-outs are those of the sample `stamps`, the backgrounds 12 photographs of the Debian package mate-backgrounds and
two of scikit-learn. No stamp and no background is in two splits. Scenes follow from the seed.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import PIL.Image
from PIL import ImageFilter
from pydantic import Field

from hftransfer.samples import Sample, png
from hftransfer.samples._cache import cached_folder
from hftransfer.samples._debian import TUXPAINT_STAMPS, DebianPackage
from hftransfer.samples.stamps import cutouts

if TYPE_CHECKING:
    from datasets import Dataset

MASK_CLASSES = ("background", "animal", "food", "plant", "tool", "vehicle")
"""The names of the class numbers in `mask`, as `task.classes` takes them."""

MATE_BACKGROUNDS = DebianPackage("mate-backgrounds", 46_638_500, "usr/share/backgrounds/mate/nature")
_VERSION = 1
_ANIMALS = ("bird", "mammal", "sea or insect")
SIDE = 160
"""Pixels of a side of a scene."""
_MOST = 4
_SCENES = {"train": 600, "validation": 60, "test": 150}
# Up to which share of the shuffled stamps of a class, and of the backgrounds, a split takes its own.
_SHARES = {"train": 0.6, "validation": 0.75, "test": 1.0}
# A background is stored with this many pixels on its shorter side.
_BACKGROUND = 400


class _Stamp(NamedTuple):
    """A cut-out and its class number."""

    category: int
    image: PIL.Image.Image


class StampScenes(Sample):
    """Things to be located and segmented."""

    license: ClassVar[str] = "gpl-2.0"
    provenance: ClassVar[str] = (
        "composed of stamps of the Debian package tuxpaint-stamps-default (GPL-2), photographs of the Debian package "
        "mate-backgrounds (GPL-2 or later), and two of scikit-learn (CC BY 2.0)"
    )
    download_bytes: ClassVar[int] = TUXPAINT_STAMPS.size + MATE_BACKGROUNDS.size
    flaws: ClassVar[tuple[str, ...]] = (
        "Scenes are composites: their light and edges tell the things from the background, though edges are softened.",
        "There are 14 backgrounds, parts of which are seen in many scenes of a split; some of them show flowers.",
    )

    seed: int = Field(default=0, ge=0)
    """Of the stamps and backgrounds of each split, and of the scenes."""

    def rows(self) -> dict[str, Dataset]:
        """`train` (600), `validation` (60) and `test` (150)."""
        from datasets import Dataset

        folder = cached_folder(f"{self.name}-{_VERSION}-{self.seed}", self._write)
        return {split: Dataset.load_from_disk(folder / split) for split in _SCENES}

    def _write(self, folder: Path) -> None:
        from datasets import ClassLabel, Dataset, Features, Image, List, Value

        objects = {"bbox": List(List(Value("float32"))), "category": List(ClassLabel(names=list(MASK_CLASSES[1:])))}
        features = Features({"image": Image(), "objects": objects, "mask": Image()})
        stamps, places = self._parts()
        for number, (split, count) in enumerate(_SCENES.items()):
            rng = np.random.default_rng((self.seed, number))
            rows = [_scene(stamps[split], places[split], rng) for _ in range(count)]
            Dataset.from_list(rows, features=features).save_to_disk(folder / split)

    def _parts(self) -> tuple[dict[str, list[_Stamp]], dict[str, list[PIL.Image.Image]]]:
        """Split -> its stamps, of each class a share, and its backgrounds."""
        by_category: dict[int, list[_Stamp]] = defaultdict(list)
        for cutout in cutouts(self.name):
            label = "animal" if cutout.label in _ANIMALS else cutout.label
            image = cutout.image
            # The largest that a scene holds.
            image.thumbnail((SIDE, SIDE), PIL.Image.Resampling.LANCZOS)
            by_category[MASK_CLASSES.index(label)].append(_Stamp(MASK_CLASSES.index(label), image))
        rng = np.random.default_rng(self.seed)
        parts = [_divided(stamps, rng) for _, stamps in sorted(by_category.items())]
        stamps = {split: [stamp for part in parts for stamp in part[split]] for split in _SCENES}
        return stamps, _divided(backgrounds(self.name), rng)


def _divided(things: list[Any], rng: np.random.Generator) -> dict[str, list[Any]]:
    """Split -> its share of the things, in random order."""
    order, start, parts = rng.permutation(len(things)), 0, {}
    for split, share in _SHARES.items():
        end = max(start + 1, round(share * len(things)))
        parts[split] = [things[number] for number in order[start:end]]
        start = end
    return parts


def backgrounds(sample: str) -> list[PIL.Image.Image]:
    """The photographs, in the order of their names, those of scikit-learn last."""
    from sklearn.datasets import load_sample_images

    folder = MATE_BACKGROUNDS.path(sample)
    images = [PIL.Image.open(file).convert("RGB") for file in sorted(folder.glob("*.jpg"))]
    images += [PIL.Image.fromarray(array) for array in load_sample_images().images]
    scales = [_BACKGROUND / min(image.size) for image in images]
    return [image.resize([round(side * it) for side in image.size]) for image, it in zip(images, scales, strict=True)]


def _scene(stamps: list[_Stamp], places: list[PIL.Image.Image], rng: np.random.Generator) -> dict[str, Any]:
    """A row: a part of a background, and stamps of many sizes that hardly cover each other."""
    scene = background_part(places[rng.integers(len(places))], rng)
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    boxes: list[list[float]] = []
    categories: list[int] = []
    # Every class is as frequent as the others.
    classes = sorted({stamp.category for stamp in stamps})
    for category in rng.choice(classes, size=int(rng.integers(1, _MOST + 1))).tolist():
        pool = [stamp for stamp in stamps if stamp.category == category]
        image = varied(pool[rng.integers(len(pool))].image, rng)
        inside = np.asarray(image.getchannel("A")) > 127
        for _attempt in range(20):
            x, y = (int(rng.integers(0, SIDE - side + 1)) for side in image.size)
            place = (slice(y, y + image.height), slice(x, x + image.width))
            if inside.any() and (mask[place][inside] > 0).mean() < 0.1:
                scene.paste(image, (x, y), image)
                mask[place][inside] = category
                boxes.append(_box(inside, x, y))
                categories.append(category - 1)
                break
    return {
        "image": png(np.asarray(scene)),
        "objects": {"bbox": boxes, "category": categories},
        "mask": png(mask),
    }


def background_part(background: PIL.Image.Image, rng: np.random.Generator) -> PIL.Image.Image:
    """A random square of a background, every other one mirrored, in the size of a scene."""
    side = int(rng.integers(SIDE, min(background.size) + 1))
    x, y = (int(rng.integers(0, length - side + 1)) for length in background.size)
    part = background.crop((x, y, x + side, y + side)).resize((SIDE, SIDE))
    return part.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def varied(stamp: PIL.Image.Image, rng: np.random.Generator, *, mirror: bool = True) -> PIL.Image.Image:
    """A stamp of a quarter to two thirds of the scene's side, every other one mirrored, its edges soft."""
    scale = rng.uniform(0.25, 0.65) * SIDE / max(stamp.size)
    image = stamp.resize([max(4, round(side * scale)) for side in stamp.size], PIL.Image.Resampling.BICUBIC)
    if mirror and rng.random() < 0.5:
        image = image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
    gain, alpha = rng.uniform(0.75, 1.2), image.getchannel("A").filter(ImageFilter.GaussianBlur(0.8))
    image = image.convert("RGB").point(lambda value: min(255, round(value * gain)))
    image.putalpha(alpha)
    return image


def _box(inside: np.ndarray, x: int, y: int) -> list[float]:
    """Left, top, width and height of the pixels of a stamp at a place."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    return [x + columns[0], y + rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
