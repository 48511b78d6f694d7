"""Stamps of Tux Paint: 278 photographs cut out on white, 224 x 224, in 7 kinds of things (GPL-2).

Columns: `image` (PIL, mode RGB), `label` (ClassLabel: bird, food, mammal, plant, sea or insect, tool, vehicle), `name`
(string, the file). The folders of the package are the labels. 68 mammals, 19 vehicles, the other kinds in between. From
the Debian package tuxpaint-stamps-default, 161 MB (https://tuxpaint.org/stamps/).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import PIL.Image

from hftransfer.samples import Sample, png
from hftransfer.samples._debian import TUXPAINT_STAMPS

if TYPE_CHECKING:
    from datasets import Dataset

_SIDE, _MARGIN = 224, 8
# The first part of a stamp's path that has one of these decides; what has none is left out.
_KINDS = {
    "animals/birds": "bird",
    "animals/mammals": "mammal",
    "animals/marsupials": "mammal",
    "animals/fish": "sea or insect",
    "animals/insects": "sea or insect",
    "animals/shellfish": "sea or insect",
    "food": "food",
    "plants": "plant",
    "household": "tool",
    "hobbies": "tool",
    "vehicles": "vehicle",
}
_ROAD = {"stoplight": "traffic light", "traffic_cone": "traffic cone", "": "road sign"}
Subset = Literal["photographs", "road_signs"]


class Cutout(NamedTuple):
    """A stamp, cut to what is not transparent."""

    name: str
    """Its path below the folder of all stamps."""
    label: str
    image: PIL.Image.Image
    """Mode RGBA."""


class Stamps(Sample):
    """Photographs of things, few of each kind."""

    license: ClassVar[str] = "gpl-2.0"
    provenance: ClassVar[str] = "Debian package tuxpaint-stamps-default, made by volunteers for Tux Paint"
    download_bytes: ClassVar[int] = TUXPAINT_STAMPS.size
    flaws: ClassVar[tuple[str, ...]] = (
        "The label is the folder of the file, set by the authors for children who look for a stamp.",
        "Some stamps show the same thing or were taken by the same photographer.",
    )

    subset: Subset = "photographs"
    """`road_signs`: 21 pictures of signs, traffic lights and a cone, most of them computer graphics, no photographs."""

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`, in the order of the file names."""
        import numpy as np
        from datasets import ClassLabel, Dataset, Features, Image, Value

        stamps = list(cutouts(self.name, self.subset))
        labels = sorted({stamp.label for stamp in stamps})
        features = Features({"image": Image(), "label": ClassLabel(names=labels), "name": Value("string")})
        columns = {
            "image": [png(np.asarray(_on_white(stamp.image))) for stamp in stamps],
            "label": [labels.index(stamp.label) for stamp in stamps],
            "name": [stamp.name for stamp in stamps],
        }
        return {"train": Dataset.from_dict(columns, features=features)}


def cutouts(sample: str, subset: Subset = "photographs") -> Iterator[Cutout]:
    """The stamps of a subset in the order of their names.

    Raises:
        SampleError: the package cannot be had.
    """
    folder = TUXPAINT_STAMPS.path(sample)
    for file in sorted(folder.rglob("*.png")):
        name = file.relative_to(folder).as_posix()
        label = _label(name, subset)
        if label is None:
            continue
        with PIL.Image.open(file) as stored:
            # Those without an alpha channel are no cut-outs.
            image = stored.convert("RGBA") if stored.mode in ("RGBA", "LA", "P") else None
        if image is not None and (box := image.getchannel("A").getbbox()):
            yield Cutout(name, label, image.crop(box))


def _label(name: str, subset: Subset) -> str | None:
    """What a stamp shows, None where it is of another subset or none."""
    if subset == "road_signs":
        stem = Path(name).name
        return next(it for start, it in _ROAD.items() if stem.startswith(start)) if "roadsigns/" in name else None
    return None if "cartoon" in name else next((it for start, it in _KINDS.items() if name.startswith(start)), None)


def _on_white(image: PIL.Image.Image) -> PIL.Image.Image:
    """The stamp in the middle of a white square, made smaller where it is larger."""
    stamp = image.copy()
    stamp.thumbnail((_SIDE - 2 * _MARGIN, _SIDE - 2 * _MARGIN), PIL.Image.Resampling.BICUBIC)
    square = PIL.Image.new("RGB", (_SIDE, _SIDE), "white")
    square.paste(stamp, ((_SIDE - stamp.width) // 2, (_SIDE - stamp.height) // 2), stamp)
    return square
