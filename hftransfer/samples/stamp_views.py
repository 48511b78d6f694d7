"""Views of stamps: the same thing on other photographs, in another size, light and place; 160 x 160 (GPL-2).

Columns: `image` (PIL, mode RGB), `label` (ClassLabel: which stamp it is). Of `photographs`, 278 things with 6 views
each, for verification: is it the same one? Of `road_signs`, 21 signs, lights and a cone with 30 views each, for
classification. `train` has two thirds of the views; those of `test` stand on photographs that `train` has none of.
Views follow from the seed.

The cut-outs are those of the sample `stamps`, the backgrounds those of `stamp_scenes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import PIL.Image
from pydantic import Field

from hftransfer.samples import Sample, png
from hftransfer.samples._cache import cached_folder
from hftransfer.samples._debian import TUXPAINT_STAMPS
from hftransfer.samples.stamp_scenes import MATE_BACKGROUNDS, SIDE, StampScenes, background_part, backgrounds, varied
from hftransfer.samples.stamps import Cutout, Subset, cutouts

if TYPE_CHECKING:
    from datasets import Dataset

_VERSION = 1
_VIEWS = {"photographs": {"train": 4, "test": 2}, "road_signs": {"train": 20, "test": 10}}
_TRAINING_BACKGROUNDS = 0.65


class StampViews(Sample):
    """Things to be recognized again."""

    license: ClassVar[str] = "gpl-2.0"
    provenance: ClassVar[str] = StampScenes.provenance
    download_bytes: ClassVar[int] = TUXPAINT_STAMPS.size + MATE_BACKGROUNDS.size
    flaws: ClassVar[tuple[str, ...]] = (
        "Views are composites of one picture of each thing, never another picture of it: real views differ more.",
        "Most road signs are computer graphics, no photographs.",
    )

    subset: Subset = "photographs"
    """`road_signs`: signs and traffic lights, each of them a class."""
    seed: int = Field(default=0, ge=0)
    """Of the backgrounds of each split, and of the views."""

    def rows(self) -> dict[str, Dataset]:
        """`train` (1,112 or 420) and `test` (556 or 210)."""
        from datasets import Dataset

        folder = cached_folder(f"{self.name}-{self.subset}-{_VERSION}-{self.seed}", self._write)
        return {split: Dataset.load_from_disk(folder / split) for split in _VIEWS[self.subset]}

    def _write(self, folder: Path) -> None:
        from datasets import ClassLabel, Dataset, Features, Image

        stamps = list(cutouts(self.name, self.subset))
        names = (
            [Path(stamp.name).stem for stamp in stamps] if self.subset == "road_signs" else [it.name for it in stamps]
        )
        features = Features({"image": Image(), "label": ClassLabel(names=names)})
        rng = np.random.default_rng(self.seed)
        places = backgrounds(self.name)
        order, count = rng.permutation(len(places)).tolist(), round(_TRAINING_BACKGROUNDS * len(places))
        parts = {"train": order[:count], "test": order[count:]}
        for split, views in _VIEWS[self.subset].items():
            rows = [
                _view(stamp, number, places[parts[split][rng.integers(len(parts[split]))]], rng)
                for number, stamp in enumerate(stamps)
                for _ in range(views)
            ]
            Dataset.from_list(rows, features=features).save_to_disk(folder / split)


def _view(stamp: Cutout, number: int, background: PIL.Image.Image, rng: np.random.Generator) -> dict[str, Any]:
    """A row: a stamp on a part of a background. A mirrored sign would be another one."""
    scene, image = background_part(background, rng), varied(stamp.image, rng, mirror=False)
    x, y = (int(rng.integers(0, SIDE - side + 1)) for side in image.size)
    scene.paste(image, (x, y), image)
    return {"image": png(np.asarray(scene)), "label": number}
