"""One label, several labels or a number for an image.

https://huggingface.co/docs/transformers/tasks/image_classification
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.errors import ModelError
from hftransfer.core.features import Kind, open_image, rgb
from hftransfer.tasks import Batch
from hftransfer.tasks._classification import _Classification
from hftransfer.tasks._pictures import is_plain, new_processor, plain_inputs, resized_crop, scaled, shown

# Architectures whose checkpoints have positions for images of one size.
_ONE_SIZE = ("beit", "clip", "data2vec-vision", "deit", "levit", "pvt", "siglip", "siglip2", "vit_msn")


class ImageClassification(_Classification):
    """Images to labels. Inputs: `pixel_values` of shape (batch, channels, height, width)."""

    columns: ClassVar[dict[str, Kind]] = {"image": "image", "label": "label"}
    auto_model: ClassVar[str] = "AutoModelForImageClassification"
    auto_processor: ClassVar[str] = "AutoImageProcessor"

    image_size: int | None = Field(default=None, ge=8)
    """Pixels of a side to which images are scaled; left out, what the checkpoint's processor says, or the config."""
    crop: float = Field(default=1.0, gt=0, le=1)
    """Training sees a random part of an image, at least this share of its area, in its full size; 1 leaves it whole.

    Szegedy et al. 2015, https://arxiv.org/abs/1409.4842, section 6; there 0.08.
    """
    flip: bool = False
    """Training sees every other image mirrored, left for right."""

    @property
    def augments(self) -> bool:
        return self.crop < 1 or self.flip

    def augment(self, row: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
        pixels = np.asarray(row["pixel_values"])
        if self.crop < 1:
            pixels, _ = resized_crop(pixels, self.crop, draw)
        if self.flip and draw.random() < 0.5:
            pixels = pixels[..., ::-1].copy()
        return row | {"pixel_values": pixels}

    def open_processor(self, read: Callable[..., Any], config: Any, rows: Any) -> Any:
        processor = super().open_processor(read, config, rows)
        return scaled(processor, self.image_size) if self.image_size else processor

    def new_processor(self, config: Any, rows: Any) -> Any:
        return new_processor(config, self.image_size) or super().new_processor(config, rows)

    def config(self) -> dict[str, Any]:
        """ViT's positions are for one size; they are interpolated for another."""
        found = getattr(self.architecture, "image_size", None)
        resized = self.image_size and isinstance(found, int) and self.architecture.model_type == "vit"
        return super().config() | ({"image_size": self.image_size} if resized else {})

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        size = getattr(config, "image_size", None)
        if self.image_size and isinstance(size, int) and size != self.image_size and config.model_type in _ONE_SIZE:
            raise ModelError(f"task.image_size: a {config.model_type} checkpoint takes images of {size} pixels alone")
        return super().check(splits, config)

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        pixels = self.processor([rgb(image) for image in rows["image"]], return_tensors="np")["pixel_values"]
        encoded = {"pixel_values": list(pixels)}
        if "label" in rows:
            encoded["labels"] = self._targets(rows["label"])
        return encoded

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        from transformers import default_data_collator

        return lambda rows: dict(default_data_collator(rows))

    def plain(self) -> str:
        return self._plain(plain_inputs(self.processor)) if is_plain(self.processor) else ""

    def read(self, text: str) -> dict[str, Any]:
        return {"image": open_image(text)}

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return shown(row["image"])
