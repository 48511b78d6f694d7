"""Images in folders: `FOLDER/SPLIT/CLASS/*.png`, or `FOLDER/CLASS/*.png` with one split, `train`.

https://huggingface.co/docs/datasets/image_load#imagefolder
"""

from pathlib import Path
from typing import Any

from hftransfer.errors import DataError
from hftransfer.sources import Source, read_with_datasets


class Imagefolder(Source):
    """Columns: `image`, `label`, and those of a metadata.csv beside the images."""

    path: str
    """The folder."""

    def load(self) -> dict[str, Any]:
        if not Path(self.path).is_dir():
            raise DataError(f"data.source.path: there is no folder '{self.path}'")
        return read_with_datasets("imagefolder", data_dir=self.path)
