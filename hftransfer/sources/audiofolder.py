"""Recordings in folders: `FOLDER/SPLIT/CLASS/*.wav`, or `FOLDER/CLASS/*.wav` with one split, `train`.

A table metadata.csv, .jsonl or .parquet, in FOLDER or in those of the splits, may take the place of class folders; its
column `file_name` names the recordings. The layout is that of
https://huggingface.co/docs/datasets/audio_load#audiofolder; the loader of `datasets` is not used, since it needs
torchcodec even where nothing is decoded.
"""

from __future__ import annotations

from typing import ClassVar

from hftransfer.sources._listing import RECORDINGS, Media
from hftransfer.sources._media_folder import MediaFolder


class Audiofolder(MediaFolder):
    """Columns: `audio` (not decoded), and `label` or those of the table."""

    media: ClassVar[Media] = RECORDINGS
