"""One label, several labels or a number for an image.

https://huggingface.co/docs/transformers/tasks/image_classification
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hftransfer.core.errors import ModelError
from hftransfer.tasks import Encoded, EncodedRow, ModelBatch, Rendered, Row, Rows
from hftransfer.tasks._classification import Classification
from hftransfer.tasks._image_task import ImageTask
from hftransfer.tasks._images import has_snippet, rgb_lines, snippet_inputs, thumbnail
from hftransfer.tasks._pixels import encode_pixels

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

# Architectures whose checkpoints have positions for images of one size.
_ONE_SIZE = ("beit", "clip", "data2vec-vision", "deit", "levit", "pvt", "siglip", "siglip2", "vit_msn")


class ImageClassification(ImageTask, Classification):
    """Images to labels. Inputs: `pixel_values` of shape (batch, channels, height, width)."""

    auto_model: ClassVar[str] = "AutoModelForImageClassification"
    augmentations: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "shift", "rotate", "erase")
    mixes: ClassVar[tuple[str, ...]] = ("mixup", "cutmix")
    tiny_model: ClassVar[str] = "vit"
    suggested_checkpoints = {"image": ("facebook/dinov2-small", "sample:mobilenet_v2")}

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
        pixels = encode_pixels(self.processor, [self.rgb(image) for image in rows["image"]])
        inputs = {"pixel_values": list(pixels)}
        if "label" in rows:
            inputs["labels"] = self._targets(rows["label"])
        return Encoded(inputs)

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        from transformers import default_data_collator

        return dict(default_data_collator([self.normalize(row) for row in encoded]))

    def runtime_snippet(self) -> str:
        if not has_snippet(self.processor):
            return ""
        return self._snippet(snippet_inputs(self.processor, rgb_lines(self.pixel_range, self.background)))

    def render(self, row: Row, prediction: Any, reference: Any) -> Rendered:
        return thumbnail(self.rgb(row["image"]))
