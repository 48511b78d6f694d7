"""A class for each pixel of an image (SegFormer, UperNet, MobileNetV2, DPT, BEiT).

https://huggingface.co/docs/transformers/tasks/semantic_segmentation
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature, Mask
from hftransfer.core.media import READING_ERRORS, class_numbers
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

# Training masks in which each named class is looked for.
_MOST = 1000
_WHITE = 255


def _numbers(rows: Dataset) -> Iterator[set[int]]:
    """The class numbers in each mask, one at a time: a batch of photographs' masks takes gigabytes."""
    for row in rows.select_columns("mask"):
        yield set(np.unique(class_numbers(row["mask"])).tolist())


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
    mask_values: list[Annotated[int, Field(ge=0, le=65_535)]] = []
    """The numbers of the classes in the masks, in the order of `classes`, as in `[0, 255]` for masks of black and
    white; left out, from 0 on. A class has its number even where that is `ignore`."""

    @model_validator(mode="after")
    def _a_number_for_each_class(self) -> Self:
        numbers = self.mask_values
        if numbers and (len(set(numbers)) != len(numbers) or len(numbers) != len(self.classes)):
            raise ValueError(
                f"mask_values {numbers} has to give each of the classes {self.classes} a number of its own"
            )
        return self

    @property
    def _names(self) -> dict[int, str]:
        """The number of each named class in the masks -> its name."""
        return dict(zip(self.mask_values or range(len(self.classes)), self.classes, strict=True))

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
        if self.classes and (beyond := set(np.unique(mask).tolist()) - {self.ignore, *self._names}):
            named = (
                f"task.mask_values is {self.mask_values}"
                if self.mask_values
                else (f"task.classes names {len(self.classes)}, from 0 on; task.mask_values gives them other numbers")
            )
            return f"the mask has the class number {min(beyond)}, and {named}"
        return None

    def row_labels(self, rows: Dataset) -> list[list[str]]:
        present = [np.unique(class_numbers(mask)).tolist() for mask in rows["mask"]]
        if self.classes:
            return [[self._names[i] for i in row if i in self._names] for row in present]
        return [[str(i) for i in row if i != self.ignore] for row in present]

    def find_labels(self, splits: Mapping[str, Dataset]) -> tuple[str, ...]:
        labels = tuple(self.classes) or super().find_labels(splits)
        if len(labels) < 2:
            self._refuse_black_and_white(set().union(*_numbers(splits["train"])))
            raise DataError(f"the training masks have only one class ({', '.join(labels)}); two are needed")
        return labels

    def _refuse_black_and_white(self, seen: set[int]) -> None:
        """Refuse masks of 0 and the ignored number alone, in which nothing of a second class would be learnt.

        Raises:
            DataError: they are.
        """
        if not self.mask_values and len(self.classes) in (0, 2) and self.ignore and seen == {0, self.ignore}:
            names = self.classes or ["background", "object"]
            nothing = f"'{names[1]}'" if self.classes else "a second class"
            raise DataError(
                f"the training masks hold the numbers 0 and {self.ignore} alone, and {self.ignore} is ignored "
                f"(task.ignore), so that nothing of {nothing} would be learnt; where {self.ignore} is a class: "
                f"task.classes: [{', '.join(names)}] with task.mask_values: [0, {self.ignore}]"
            )

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        seen: set[int] = set()
        looked = 0
        for numbers in islice(_numbers(splits["train"]), _MOST):
            # In most data sets the first few masks have all classes.
            if seen >= set(self._names):
                break
            looked += 1
            seen |= numbers
        warnings = super().check(splits, config)
        if lacking := {number: name for number, name in self._names.items() if number not in seen}:
            self._refuse_black_and_white(seen)
            named = ", ".join(f"'{name}' ({number})" for number, name in lacking.items())
            warnings.append(f"no pixel of {looked:,} training masks has the class {named}: task.classes, or more rows?")
        return warnings

    @classmethod
    def suggested_fields(cls, rows: Dataset) -> dict[str, Any]:
        """Masks of black and white are of two classes."""
        from datasets import Image

        seen: set[int] = set()
        # A mask that cannot be read is reported with its row.
        with suppress(*READING_ERRORS):
            for numbers in islice(_numbers(rows), _MOST) if isinstance(rows.features.get("mask"), Image) else ():
                seen |= numbers
                if not seen <= {0, _WHITE}:
                    break
        return {"classes": ["background", "object"], "mask_values": [0, _WHITE]} if seen == {0, _WHITE} else {}

    def _numbered(self, mask: Any) -> np.ndarray:
        """The place of each pixel's class among the labels, shape (height, width)."""
        numbers = class_numbers(mask)
        table = np.full(numbers.max() + 1, IGNORED)
        numbers_of = list(self._names) or [int(name) for name in self.labels]
        for place, number in enumerate(numbers_of):
            if number < len(table) and (number != self.ignore or self.mask_values):
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
