"""Images in folders: `FOLDER/SPLIT/CLASS/*.png`, or `FOLDER/CLASS/*.png` with one split, `train`.

https://huggingface.co/docs/datasets/image_load#imagefolder
"""

from typing import Any

from hftransfer.sources import Folder, read_with_datasets


class Imagefolder(Folder):
    """Columns: `image`, `label`, and those of a metadata.csv beside the images."""

    def load(self) -> dict[str, Any]:
        return read_with_datasets("imagefolder", data_dir=str(self.root()))
