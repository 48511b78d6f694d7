"""Recordings in folders: `FOLDER/SPLIT/CLASS/*.wav`, or `FOLDER/CLASS/*.wav` with one split, `train`.

Laid out as https://huggingface.co/docs/datasets/audio_load#audiofolder; the loader of `datasets` itself is not used,
since it asks for torchcodec even where nothing is decoded.
"""

from pathlib import Path
from typing import Any

from hftransfer.errors import DataError
from hftransfer.sources import Source

_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus"}
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


class Audiofolder(Source):
    """Columns: `audio` (not decoded), `label`."""

    path: str
    """The folder."""

    def load(self) -> dict[str, Any]:
        from datasets import Audio, ClassLabel, Dataset, Features, Value

        root = Path(self.path)
        if not root.is_dir():
            raise DataError(f"data.source.path: there is no folder '{self.path}'")
        folders = {_SPLITS[p.name]: p for p in sorted(root.iterdir()) if p.is_dir() and p.name in _SPLITS}
        files = {
            split: sorted(f for f in folder.glob("*/*") if f.suffix.lower() in _SUFFIXES)
            for split, folder in (folders or {"train": root}).items()
        }
        labels = sorted({file.parent.name for found in files.values() for file in found})
        if not labels:
            raise DataError(
                f"data.source.path: no recordings in class folders (such as train/yes/1.wav) in '{self.path}'"
            )
        # Paths are stored as they are, and called audio after that: to encode a recording wants torchcodec as well.
        recording = {"bytes": Value("binary"), "path": Value("string")}
        features = Features({"audio": recording, "label": ClassLabel(names=labels)})
        return {
            split: Dataset.from_dict(
                {
                    "audio": [{"path": str(file), "bytes": None} for file in found],
                    "label": [labels.index(file.parent.name) for file in found],
                },
                features=features,
            ).cast_column("audio", Audio(decode=False))
            for split, found in files.items()
        }
