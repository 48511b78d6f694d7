"""Images in folders: `FOLDER/SPLIT/CLASS/*.png`, or `FOLDER/CLASS/*.png` with one split, `train`.

A table metadata.csv, .jsonl or .parquet, in FOLDER or in those of the splits, may take the place of class folders; its
column `file_name` names the images. https://huggingface.co/docs/datasets/image_load#imagefolder
"""

from __future__ import annotations

from typing import ClassVar

from hftransfer.sources._listing import IMAGES, Media
from hftransfer.sources._media_folder import MediaFolder


class Imagefolder(MediaFolder):
    """Columns: `image`, and `label` or those of the table."""

    media: ClassVar[Media] = IMAGES
