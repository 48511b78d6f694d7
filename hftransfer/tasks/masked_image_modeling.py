"""Patches hidden in images are drawn in: a checkpoint goes on learning the look of images that have no labels.

SimMIM, Xie et al. 2022, https://arxiv.org/abs/2111.09886; for ViT, DeiT, Swin. The run is a checkpoint for any recipe
on images.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.errors import ModelError
from hftransfer.core.features import Kind, open_image, rgb
from hftransfer.tasks import Batch, Outputs
from hftransfer.tasks._hidden import _Hidden, own_draw
from hftransfer.tasks._pictures import new_processor, shown


class MaskedImageModeling(_Hidden):
    """Images to their hidden patches. Inputs: `pixel_values` and `bool_masked_pos` of shape (batch, patches).

    A loss is the mean absolute error of a hidden patch, in units of the normalized pixels.
    """

    columns: ClassVar[dict[str, Kind]] = {"image": "image", "label": "label"}
    auto_model: ClassVar[str] = "AutoModelForMaskedImageModeling"
    auto_processor: ClassVar[str] = "AutoImageProcessor"
    loss_input: ClassVar[str] = "bool_masked_pos"
    pretraining: ClassVar[str] = "image-feature-extraction"

    mask_ratio: float = Field(default=0.6, gt=0, lt=1)
    """Share of the image that is hidden; 0.6 as in the paper, section 4.1.2."""
    mask_patch_size: int = Field(default=32, ge=1)
    """Pixels of a side of what is hidden in one piece, rounded to patches of the model; 32 as in the paper."""

    def metrics(self) -> list[str]:
        return ["masked_error"]

    def new_processor(self, config: Any, rows: Any) -> Any:
        return new_processor(config) or super().new_processor(config, rows)

    def config(self) -> dict[str, Any]:
        """A model whose patches all have one size (ViT) draws in what it hides, of that size."""
        alike = getattr(self.architecture, "model_type", None) in ("vit", "deit")
        return {"encoder_stride": self.architecture.patch_size} if alike else {}

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        if not isinstance(getattr(config, "patch_size", None), int) or not hasattr(config, "encoder_stride"):
            raise ModelError(f"a {config.model_type} has no patches of one size, which 'masked-image-modeling' hides")
        return []

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        pixels = self.processor([rgb(image) for image in rows["image"]], return_tensors="np")["pixel_values"]
        return {"pixel_values": list(pixels)}

    @property
    def augments(self) -> bool:
        return True

    def augment(self, row: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
        pixels = np.asarray(row["pixel_values"])
        return {"pixel_values": pixels, "bool_masked_pos": self._hidden(pixels, draw)}

    def _hidden(self, pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """Which patches, row by row of the image, are hidden: so many pieces as make up the share, one at least."""
        size = self.architecture.patch_size
        rows, columns = (side // size for side in pixels.shape[1:])
        piece = max(1, min(round(self.mask_patch_size / size), rows // 2, columns // 2))
        down, right = -(-rows // piece), -(-columns // piece)
        count = max(1, min(round(self.mask_ratio * down * right), down * right - 1))
        chosen = draw.permutation(down * right)[:count]
        pieces = np.isin(np.arange(down * right), chosen).reshape(down, right)
        return np.kron(pieces, np.ones((piece, piece), bool))[:rows, :columns].astype(bool).ravel()

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        import torch

        def collate(rows: list[dict[str, Any]]) -> Batch:
            pixels = [np.asarray(row["pixel_values"], dtype=np.float32) for row in rows]
            masks = [
                row["bool_masked_pos"] if "bool_masked_pos" in row else self._hidden(image, own_draw(image))
                for row, image in zip(rows, pixels, strict=True)
            ]
            return {
                "pixel_values": torch.from_numpy(np.stack(pixels)),
                "bool_masked_pos": torch.from_numpy(np.stack(masks)),
            }

        return collate

    def predict(self, model: Any, batch: Batch) -> Outputs:
        drawn = model(**batch).reconstruction.float().cpu().numpy()
        pixels, masks = batch["pixel_values"].float().cpu().numpy(), batch["bool_masked_pos"].cpu().numpy()
        size = self.architecture.patch_size
        count, _, height, width = pixels.shape
        places = (count, height // size, size, width // size, size)
        by_patch = np.abs(drawn - pixels).mean(axis=1).reshape(places).mean(axis=(2, 4)).reshape(count, -1)
        return {"losses": np.where(masks, by_patch, np.nan), "right": np.where(masks, 0, -1)}

    def read(self, text: str) -> dict[str, Any]:
        return {"image": open_image(text)}

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return shown(row["image"])

    def answer(self, outputs: Outputs) -> dict[str, Any]:
        return {"error": float(np.nanmean(outputs["losses"]))}
