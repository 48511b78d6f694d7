"""A class for each pixel of an image (SegFormer, UperNet, MobileNetV2, DPT, BEiT).

https://huggingface.co/docs/transformers/tasks/semantic_segmentation
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature, Mask
from hftransfer.core.media import class_numbers
from hftransfer.tasks import (
    IGNORED,
    Encoded,
    Illustration,
    ModelBatch,
    Outputs,
    Predictions,
    Processor,
    Rows,
    Side,
    object_array,
)
from hftransfer.tasks._dense import Dense
from hftransfer.tasks._image_task import ImageTask
from hftransfer.tasks._images import overlay, resized_nearest, without_crop
from hftransfer.tasks._pixels import encode_pixels

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig


class ImageSegmentation(ImageTask, Dense):
    """Images to masks. Outputs: `logits` (rows, classes, height, width), scored at the size of each image."""

    target: ClassVar[tuple[str, Feature] | None] = ("mask", Mask())
    auto_model: ClassVar[str] = "AutoModelForSemanticSegmentation"
    metrics: ClassVar[list[str]] = ["mean_iou", "pixel_accuracy"]
    augmentations: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "shift", "rotate")
    moves_with_image: ClassVar[tuple[str, ...]] = ("labels",)
    refuses: ClassVar[dict[str, str]] = {
        "few_shot": "it compares rows of one class each, and an image has a class for each pixel",
        "distill": "the masks of a teacher are no labels for another model",
    }
    tiny_model: ClassVar[str] = "segformer"
    suggested_checkpoints = {"image": ("nvidia/mit-b0", "sample:mobilenet_v2")}

    classes: list[str] = []
    """Names of the class numbers in the masks, from 0 on; left out, the numbers of the training masks are the names."""
    ignore: int | None = Field(default=255, ge=0, le=65535)
    """The number of pixels that belong to no class: neither learnt nor scored."""

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        return without_crop(super().open_processor(read, config, rows))

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        return without_crop(super().new_processor(config, rows))

    def config_fields(self) -> dict[str, Any]:
        ignored = [it for it in ("semantic_loss_ignore_index", "loss_ignore_index") if hasattr(self.architecture, it)]
        return super().config_fields() | dict.fromkeys(ignored, IGNORED)

    def check_row(self, row: dict[str, Any]) -> str | None:
        if "mask" not in row:
            return None
        mask, (width, height) = row["mask"], row["image"].size
        if mask.shape != (height, width):
            return f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels, and the image {width} x {height}"
        if self.classes and (beyond := set(np.unique(mask).tolist()) - {self.ignore, *range(len(self.classes))}):
            return f"the mask has the class number {min(beyond)}, and task.classes names {len(self.classes)}, from 0 on"
        return None

    def row_labels(self, rows: Dataset) -> list[list[str]]:
        present = [np.unique(class_numbers(mask)).tolist() for mask in rows["mask"]]
        return [[self.classes[i] if self.classes else str(i) for i in row if i != self.ignore] for row in present]

    def find_labels(self, splits: Mapping[str, Dataset]) -> tuple[str, ...]:
        labels = tuple(self.classes) or super().find_labels(splits)
        if len(labels) < 2:
            raise DataError(f"the training masks have only one class ({', '.join(labels)}); two are needed")
        return labels

    def _numbered(self, mask: Any) -> np.ndarray:
        """The place of each pixel's class among the labels, shape (height, width)."""
        numbers = class_numbers(mask)
        table = np.full(numbers.max() + 1, IGNORED)
        for place, name in enumerate(self.labels):
            if (number := place if self.classes else int(name)) < len(table) and number != self.ignore:
                table[number] = place
        return np.asarray(table[numbers])

    def encode(self, rows: Rows) -> Encoded:
        pixels = encode_pixels(self.processor, [self.rgb(image) for image in rows["image"]])
        inputs = {"pixel_values": list(pixels)}
        if "mask" in rows:
            inputs["labels"] = [resized_nearest(self._numbered(mask), pixels.shape[2:]) for mask in rows["mask"]]
        return Encoded(inputs, side={"size": [np.array([image.height, image.width]) for image in rows["image"]]})

    def collate(self, encoded: list[dict[str, Any]]) -> ModelBatch:
        import torch

        rows = [self.normalize(row) for row in encoded]
        return {name: torch.from_numpy(np.stack([np.asarray(row[name]) for row in rows])) for name in rows[0]}

    def outputs(self, model: Callable[..., Any], batch: ModelBatch, side: Side) -> Outputs:
        return {"logits": model(pixel_values=batch["pixel_values"]).logits.float().cpu().numpy()}

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        from torch import tensor
        from torch.nn.functional import interpolate

        sizes = [tuple(map(int, size)) for size in side["size"]]
        logits = (tensor(row)[None] for row in outputs["logits"])
        resized = (interpolate(row, size, mode="bilinear") for row, size in zip(logits, sizes, strict=True))
        return object_array([row[0].argmax(dim=0).numpy() for row in resized])

    def references(self, rows: Dataset) -> Predictions:
        return object_array([self._numbered(mask) for mask in rows["mask"]])

    def baseline(self, references: Predictions) -> Outputs:
        return {"logits": np.eye(len(self.labels), dtype=np.float32)[self.most_common(references), :, None, None]}

    def illustrate(self, row: dict[str, Any], outputs: Outputs, side: Side) -> Illustration:
        mask = self.postprocess(outputs, side)[0]
        areas = ((mask == number, self.labels[number]) for number in np.unique(mask))
        return Illustration(self.rgb(row["image"]), tuple(areas))

    def render(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return overlay(self.rgb(row["image"]), [reference, prediction], len(self.labels))
