"""Textile surfaces without and with defects, 2,000 images of 250 x 250, simulated (MIT).

Columns: `image` (PIL), `label` (ClassLabel: global, local, nominal), `defect` (ClassLabel: no, yes). 1,000 nominal,
500 with a defect of the whole texture and 500 with one at a place. Megahed et al. 2025,
https://arxiv.org/abs/2501.12596; in the wheel conformal-clip-data 0.1.4, 42 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hftransfer.samples import Sample
from hftransfer.samples._wheels import Wheel

if TYPE_CHECKING:
    from datasets import Dataset

_WHEEL = Wheel(
    "conformal-clip-data",
    "0.1.4",
    size=42_144_952,
    sha256="00144ccc179a887dbea15923be8cf236d0c0f49bf7fb6f7bb288e40b53fb1bcb",
)
_FOLDER = "conformal_clip_data/data/textile_images/simulated"
_LABELS = ("global", "local", "nominal")


class TextileDefects(Sample):
    """Surfaces for the detection of anomalies."""

    license: ClassVar[str] = "mit"
    provenance: ClassVar[str] = "wheel conformal-clip-data 0.1.4 (MIT), Megahed et al. 2025 (arXiv 2501.12596)"
    download_bytes: ClassVar[int] = _WHEEL.size
    flaws: ClassVar[tuple[str, ...]] = (
        "The surfaces are simulated.",
        "Global defects are smoother than any nominal surface.",
    )

    defects: list[Literal["global", "local"]] = Field(default=["global", "local"], min_length=1)
    """Which surfaces with defects there are among the rows: of the whole texture, at a place, or both."""

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`, the labels in the order of their names."""
        from datasets import ClassLabel, Dataset, Features, Image

        folder = _WHEEL.folder(self.name) / _FOLDER
        chosen = [label for label in _LABELS if label == "nominal" or label in self.defects]
        files = [file for label in chosen for file in sorted((folder / label).glob("*.jpg"))]
        columns = {
            "image": [{"bytes": None, "path": str(file)} for file in files],
            "label": [file.parent.name for file in files],
            "defect": ["no" if file.parent.name == "nominal" else "yes" for file in files],
        }
        features = Features(
            {"image": Image(), "label": ClassLabel(names=list(_LABELS)), "defect": ClassLabel(names=["no", "yes"])}
        )
        return {"train": Dataset.from_dict(columns, features=features)}
