"""One label, several labels or a number for an image.

https://huggingface.co/docs/transformers/tasks/image_classification
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.errors import ModelError
from hftransfer.core.features import Feature, Image
from hftransfer.core.media import open_image, rgb
from hftransfer.tasks import Encoded, ModelBatch, Processor, Rows
from hftransfer.tasks._classification import Classification
from hftransfer.tasks._images import (
    has_snippet,
    new_processor,
    random_resized_crop,
    resized_to,
    snippet_inputs,
    thumbnail,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

# Architectures whose checkpoints have positions for images of one size.
_ONE_SIZE = ("beit", "clip", "data2vec-vision", "deit", "levit", "pvt", "siglip", "siglip2", "vit_msn")


class ImageClassification(Classification):
    """Images to labels. Inputs: `pixel_values` of shape (batch, channels, height, width)."""

    inputs: ClassVar[dict[str, Feature]] = {"image": Image()}
    auto_model: ClassVar[str] = "AutoModelForImageClassification"
    auto_processor: ClassVar[str] = "AutoImageProcessor"
    augmentations: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "shift", "rotate", "erase")
    mixes: ClassVar[tuple[str, ...]] = ("mixup", "cutmix")
    tiny_model: ClassVar[str] = "vit"

    image_size: int | None = Field(default=None, ge=8)
    """Pixels of a side to which images are resized; left out, what the checkpoint's processor says, or the config."""
    crop: float = Field(default=1.0, gt=0, le=1)
    """Training sees a random part of an image, at least this share of its area, in its full size; 1 leaves it whole.

    Szegedy et al. 2015, https://arxiv.org/abs/1409.4842, section 6; there 0.08.
    """
    flip: bool = False
    """Training sees every other image mirrored, left for right."""

    @property
    def augments(self) -> bool:
        return self.crop < 1 or self.flip

    def augment(self, row: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        pixels = np.asarray(row["pixel_values"])
        if self.crop < 1:
            pixels, _ = random_resized_crop(pixels, self.crop, rng)
        if self.flip and rng.random() < 0.5:
            pixels = pixels[..., ::-1].copy()
        return row | {"pixel_values": pixels}

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        processor = super().open_processor(read, config, rows)
        return resized_to(processor, self.image_size) if self.image_size else processor

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        return new_processor(config, self.image_size) or super().new_processor(config, rows)

    def config_fields(self) -> dict[str, Any]:
        """ViT's positions are for one size; they are interpolated for another."""
        checkpoint_size = getattr(self.architecture, "image_size", None)
        resized = self.image_size and isinstance(checkpoint_size, int) and self.architecture.model_type == "vit"
        return super().config_fields() | ({"image_size": self.image_size} if resized else {})

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        size = getattr(config, "image_size", None)
        if self.image_size and isinstance(size, int) and size != self.image_size and config.model_type in _ONE_SIZE:
            raise ModelError(f"task.image_size: a {config.model_type} checkpoint takes images of {size} pixels alone")
        return super().check(splits, config)

    def encode(self, rows: Rows) -> Encoded:
        pixels = self.processor([rgb(image) for image in rows["image"]], return_tensors="np")["pixel_values"]
        inputs = {"pixel_values": list(pixels)}
        if "label" in rows:
            inputs["labels"] = self._targets(rows["label"])
        return Encoded(inputs)

    def collate(self, encoded: list[dict[str, Any]]) -> ModelBatch:
        from transformers import default_data_collator

        return dict(default_data_collator(encoded))

    def runtime_snippet(self) -> str:
        return self._snippet(snippet_inputs(self.processor)) if has_snippet(self.processor) else ""

    def parse(self, text: str) -> dict[str, Any]:
        return {"image": open_image(text)}

    def render(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return thumbnail(row["image"])
