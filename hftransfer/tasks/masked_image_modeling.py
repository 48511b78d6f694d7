"""Hidden patches of images are reconstructed: a checkpoint goes on learning from images that have no labels.

SimMIM, Xie et al. 2022, https://arxiv.org/abs/2111.09886; for ViT, DeiT, Swin. The run is a checkpoint for any recipe
on images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.errors import ModelError
from hftransfer.core.features import Feature, Image
from hftransfer.core.results import JsonObject
from hftransfer.tasks import Encoded, ModelBatch, Outputs, Processor, Rows, Side
from hftransfer.tasks._image_input import ImageInput
from hftransfer.tasks._images import new_processor, thumbnail
from hftransfer.tasks._masked_rows import MaskedRows, row_rng
from hftransfer.tasks._pixels import encode_pixels, normalized
from hftransfer.tasks._types import EncodedRow, Model, Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig


class MaskedImageModeling(ImageInput, MaskedRows):
    """Images to their hidden patches. Inputs: `pixel_values` and `bool_masked_pos` of shape (batch, patches).

    A loss is the mean absolute error of a hidden patch, in units of the normalized pixels.
    """

    inputs: ClassVar[dict[str, Feature]] = {"image": Image()}
    auto_model: ClassVar[str] = "AutoModelForMaskedImageModeling"
    auto_processor: ClassVar[str] = "AutoImageProcessor"
    metrics: ClassVar[list[str]] = ["masked_error"]
    output_names: ClassVar[tuple[str, ...]] = ("reconstruction",)
    label_names: ClassVar[tuple[str, ...]] = ("bool_masked_pos",)
    pretraining: ClassVar[str] = "image-feature-extraction"
    refuses: ClassVar[dict[str, str]] = MaskedRows.refuses | {
        "linear_probe": "its model has no head that could be trained alone",
        "lp_ft": "its model has no head that could be trained alone",
    }
    tiny_model: ClassVar[str] = "vit"
    suggested_checkpoints = {"image": ("google/vit-base-patch16-224-in21k",)}

    mask_ratio: float = Field(default=0.6, gt=0, lt=1)
    """Share of the image that is hidden; 0.6 as in the paper, section 4.1.2."""
    mask_patch_size: int = Field(default=32, ge=1, le=4096)
    """Pixels of a side of a hidden square, rounded to patches of the model; 32 as in the paper."""

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        return new_processor(config) or super().new_processor(config, rows)

    def config_fields(self) -> JsonObject:
        """The decoder of a model whose patches all have one size (ViT) reconstructs patches of that size."""
        one_size = getattr(self.architecture, "model_type", None) in ("vit", "deit")
        return {"encoder_stride": self.architecture.patch_size} if one_size else {}

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        if not isinstance(getattr(config, "patch_size", None), int) or not hasattr(config, "encoder_stride"):
            raise ModelError(f"a {config.model_type} has no patches of one size, which 'masked-image-modeling' hides")
        return super().check(splits, config)

    def encode(self, rows: Rows) -> Encoded:
        pixels = encode_pixels(self.processor, [self.rgb(image) for image in rows["image"]])
        return Encoded({"pixel_values": list(pixels)})

    def normalize(self, row: EncodedRow) -> EncodedRow:
        return row | {"pixel_values": normalized(self.processor, row["pixel_values"])}

    @property
    def augments(self) -> bool:
        return True

    def augment(self, row: EncodedRow, rng: np.random.Generator) -> EncodedRow:
        pixels = np.asarray(row["pixel_values"])
        return {"pixel_values": pixels, "bool_masked_pos": self._mask(pixels, rng)}

    def _mask(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Whether each patch is hidden, row by row of the image, of shape (patches,).

        Squares of several patches are chosen, as many as make up `mask_ratio`, at least one.
        """
        size = self.architecture.patch_size
        rows, columns = (side // size for side in pixels.shape[1:])
        square = max(1, min(round(self.mask_patch_size / size), rows // 2, columns // 2))
        down, right = -(-rows // square), -(-columns // square)
        count = max(1, min(round(self.mask_ratio * down * right), down * right - 1))
        chosen = rng.permutation(down * right)[:count]
        squares = np.isin(np.arange(down * right), chosen).reshape(down, right)
        return np.kron(squares, np.ones((square, square), bool))[:rows, :columns].astype(bool).ravel()

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        import torch

        pixels = [np.asarray(self.normalize(row)["pixel_values"], dtype=np.float32) for row in encoded]
        masks = [
            row["bool_masked_pos"] if "bool_masked_pos" in row else self._mask(image, row_rng(image))
            for row, image in zip(encoded, pixels, strict=True)
        ]
        return {
            "pixel_values": torch.from_numpy(np.stack(pixels)),
            "bool_masked_pos": torch.from_numpy(np.stack(masks)),
        }

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        reconstruction = model(**batch).reconstruction.float().cpu().numpy()
        pixels, masks = batch["pixel_values"].float().cpu().numpy(), batch["bool_masked_pos"].cpu().numpy()
        size = self.architecture.patch_size
        count, _, height, width = pixels.shape
        patches = (count, height // size, size, width // size, size)
        errors = np.abs(reconstruction - pixels).mean(axis=1).reshape(patches).mean(axis=(2, 4)).reshape(count, -1)
        return {"losses": np.where(masks, errors, np.nan), "right": np.where(masks, 0, -1)}

    def render(self, row: Row, prediction: np.ndarray, reference: np.ndarray) -> JsonObject:
        return thumbnail(self.rgb(row["image"]))

    def respond(self, outputs: Outputs, side: Side) -> JsonObject:
        return {"error": float(np.nanmean(outputs["losses"]))}
