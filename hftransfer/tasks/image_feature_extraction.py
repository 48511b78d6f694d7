"""Embeddings of images by identity: whether two images show the same person, animal or product (verification).

https://huggingface.co/tasks/image-feature-extraction. Trained by batch-hard triplets; identities that no training row
has are tested.
"""

from __future__ import annotations

from typing import Any, ClassVar

from hftransfer.tasks import Encoded, EncodedRow, Model, ModelBatch, Outputs, Rendered, Row, Rows, Side
from hftransfer.tasks._identities import Identities
from hftransfer.tasks._image_task import ImageTask
from hftransfer.tasks._images import rgb_lines, thumbnail
from hftransfer.tasks._pixels import encode_pixels


class ImageFeatureExtraction(ImageTask, Identities):
    """Images to vectors. Inputs: `pixel_values` of shape (batch, channels, height, width).

    Outputs: `image`, of shape (rows, size).
    """

    identified: ClassVar[str] = "image"
    augmentations: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "shift", "rotate", "erase")
    tiny_model: ClassVar[str] = "vit"
    suggested_checkpoints = {"image": ("facebook/dinov2-small", "sample:mobilenet_v2")}

    def encode(self, rows: Rows) -> Encoded:
        pixels = encode_pixels(self.processor, [self.rgb(image) for image in rows["image"]])
        labels = {"labels": list(rows["label"])} if "label" in rows else {}
        return Encoded({"pixel_values": list(pixels), **labels}, self.side_of(rows))

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        from transformers import default_data_collator

        return dict(default_data_collator([self.normalize(row) for row in encoded]))

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        hidden = model(pixel_values=batch["pixel_values"]).last_hidden_state
        return {"image": self.embed(hidden, None).cpu().numpy()}

    @property
    def pipeline_preparation(self) -> tuple[str, str]:
        return "", ""

    @property
    def usage_snippet(self) -> tuple[str, str, str]:
        imports = "import numpy as np\nimport torch\nfrom PIL import Image, ImageOps\n"
        load = "processor = AutoImageProcessor.from_pretrained(repo)\nmodel = AutoModel.from_pretrained(repo)"
        call = (
            f"{rgb_lines(self.pixel_range, self.background)}"
            'batch = processor(image, return_tensors="pt")\n'
            "with torch.inference_mode():\n    hidden = model(**batch).last_hidden_state\n"
            "hidden = hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden\n"
            f"pooled = {'hidden[:, 0]' if self.pooling == 'first' else 'hidden.mean(dim=1)'}\n"
            "answer = torch.nn.functional.normalize(pooled)[0].tolist()"
        )
        return f"{imports}from transformers import AutoImageProcessor, AutoModel", load, call

    def render(self, row: Row, prediction: Any, reference: Any) -> Rendered:
        return thumbnail(self.rgb(row["image"]))

    def tiny_row(self, number: int) -> Row:
        """Of twelve identities."""
        return {"label": f"p{number % 12}"}
