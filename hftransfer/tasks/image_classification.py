"""One label, several labels or a number for an image.

https://huggingface.co/docs/transformers/tasks/image_classification
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.cells import Kind, open_image, rgb
from hftransfer.tasks import Batch
from hftransfer.tasks._classification import _Classification
from hftransfer.tasks._pictures import new_processor, resized_crop, scaled, shown


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
    def varies(self) -> bool:
        return self.crop < 1 or self.flip

    def vary(self, row: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
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
        return self._plain(
            "from PIL import Image\n\n"
            'how = json.loads((folder / "preprocessor_config.json").read_text())\n'
            'image, size = Image.open("image.png").convert("RGB"), how["size"]\n'
            'short, box = size.get("shortest_edge"), how.get("crop_size") if how.get("do_center_crop") else None\n'
            'if how.get("crop_pct"):  # ConvNeXt, ResNet\n'
            '    short, box = int(short / how["crop_pct"]), {"width": short, "height": short}\n'
            "sides = [int(side * short / min(image.size)) for side in image.size] if short else "
            '[size["width"], size["height"]]\n'
            'image = image.resize(sides, how["resample"])\n'
            "if box:\n"
            '    left, top = (image.width - box["width"]) // 2, (image.height - box["height"]) // 2\n'
            '    image = image.crop((left, top, left + box["width"], top + box["height"]))\n'
            'pixels = np.asarray(image, np.float32) * how["rescale_factor"]\n'
            'pixels = (pixels - how["image_mean"]) / how["image_std"]\n'
            'inputs = {"pixel_values": pixels.transpose(2, 0, 1)[None].astype(np.float32)}\n'
        )

    def read(self, text: str) -> dict[str, Any]:
        return {"image": open_image(text)}

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return shown(row["image"])
