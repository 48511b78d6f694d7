"""The family of the tasks on images whose labels hold for the whole image, or move with its pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.errors import RecipeError
from hftransfer.core.features import Feature, Image
from hftransfer.tasks import EncodedRow, Processor, Rows
from hftransfer.tasks._image_input import ImageInput
from hftransfer.tasks._images import input_facts, new_processor, random_resized_crop, resized_nearest, resized_to
from hftransfer.tasks._pixels import normalized

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact


class ImageTask(ImageInput):
    """Adds the image, its processor, and random crops and flips, with which `moves_with_image` go along."""

    inputs: ClassVar[dict[str, Feature]] = {"image": Image()}
    auto_processor: ClassVar[str] = "AutoImageProcessor"

    image_size: int | None = Field(default=None, ge=8, le=8192)
    """Pixels of a side to which images are resized; left out, what the checkpoint's processor says, or the config."""
    crop: float = Field(default=1.0, gt=0, le=1)
    """Training sees a random part of an image, at least this share of its area, in its full size; 1 leaves it whole.

    Szegedy et al. 2015, https://arxiv.org/abs/1409.4842, section 6; there 0.08.
    """
    flip: bool = False
    """Training sees every other image mirrored, left for right."""

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        processor = read(self.auto_processor)
        return resized_to(processor, self.image_size) if self.image_size else processor

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        return new_processor(config, self.image_size) or super().new_processor(config, rows)

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        def size_of(batch: Rows) -> tuple[int, int]:
            height, width = np.shape(self.encode(batch).inputs["pixel_values"][0])[1:]
            return height, width

        return input_facts(rows, size_of)

    def normalize(self, row: EncodedRow) -> EncodedRow:
        return row | {"pixel_values": normalized(self.processor, row["pixel_values"])}

    def script_values(self, rows: Dataset) -> dict[str, Any]:
        if self.augments:
            raise RecipeError("eject: its scripts have no task.crop and no task.flip")
        collated = {"collator": "default_data_collator", "masked": False}
        return super().script_values(rows) | collated | {"processor_type": "BaseImageProcessor"}

    @property
    def augments(self) -> bool:
        return self.crop < 1 or self.flip

    def augment(self, row: EncodedRow, rng: np.random.Generator) -> EncodedRow:
        arrays = {name: np.asarray(row[name]) for name in ("pixel_values", *self.moves_with_image)}
        if self.crop < 1:
            arrays["pixel_values"], part = random_resized_crop(arrays["pixel_values"], self.crop, rng)
            for name in self.moves_with_image:
                arrays[name] = resized_nearest(arrays[name], arrays[name].shape, part)
        if self.flip and rng.random() < 0.5:
            arrays = {name: array[..., ::-1].copy() for name, array in arrays.items()}
        return row | arrays
