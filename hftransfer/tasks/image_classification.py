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
from hftransfer.tasks._pictures import new_processor, resized_crop, shown


class ImageClassification(_Classification):
    """Images to labels. Inputs: `pixel_values` of shape (batch, channels, height, width)."""

    columns: ClassVar[dict[str, Kind]] = {"image": "image", "label": "label"}
    auto_model: ClassVar[str] = "AutoModelForImageClassification"
    auto_processor: ClassVar[str] = "AutoImageProcessor"

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

    def new_processor(self, config: Any, rows: Any) -> Any:
        return new_processor(config) or super().new_processor(config, rows)

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
            'short = size.get("shortest_edge")\n'
            "sides = [int(side * short / min(image.size)) for side in image.size] if short else "
            '[size["width"], size["height"]]\n'
            'image = image.resize(sides, how["resample"])\n'
            'if how.get("do_center_crop"):\n'
            '    wide, high = how["crop_size"]["width"], how["crop_size"]["height"]\n'
            "    left, top = (image.width - wide) // 2, (image.height - high) // 2\n"
            "    image = image.crop((left, top, left + wide, top + high))\n"
            'pixels = np.asarray(image, np.float32) * how["rescale_factor"]\n'
            'pixels = (pixels - how["image_mean"]) / how["image_std"]\n'
            'inputs = {"pixel_values": pixels.transpose(2, 0, 1)[None].astype(np.float32)}\n'
        )

    def read(self, text: str) -> dict[str, Any]:
        return {"image": open_image(text)}

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return shown(row["image"])
