"""Recordings in folders: `FOLDER/SPLIT/CLASS/*.wav`, or `FOLDER/CLASS/*.wav` with one split, `train`.

A table metadata.csv, .jsonl or .parquet, in FOLDER or in those of the splits, may take the place of class folders; its
column `file_name` names the recordings. The folders of LJSpeech, Common Voice and LibriSpeech are read as they are
unpacked. The layout is that of
https://huggingface.co/docs/datasets/audio_load#audiofolder; the loader of `datasets` is not used, since it needs
torchcodec even where nothing is decoded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hftransfer.sources._listing import RECORDINGS, Media, files_below
from hftransfer.sources._media_folder import MediaFolder
from hftransfer.sources._speech_layouts import is_table, read_layout

if TYPE_CHECKING:
    from datasets import Dataset


class Audiofolder(MediaFolder):
    """Columns: `audio` (not decoded), and `label` or those of the table.

    Of LJSpeech: `text`, `normalized_text`; of LibriSpeech: `text`, `speaker`; of Common Voice: those of its tables.
    """

    media: ClassVar[Media] = RECORDINGS

    def read_folder(self) -> dict[str, Dataset]:
        return read_layout(files_below(self.root())) or super().read_folder()

    def _describes(self, file: Path) -> bool:
        return is_table(file) or super()._describes(file)
