"""The rows of a run as Parquet files that `datasets` alone reads: texts, RGB images, recordings at the model's rate."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.arrow import with_column
from hftransfer.core.features import Audio, Image
from hftransfer.core.media import location, open_audio, resample
from hftransfer.tasks import Task
from hftransfer.tasks._image_input import ImageInput

if TYPE_CHECKING:
    from datasets import Dataset

# Formats of files whose bytes are handed on where the model sees just what they hold.
_FORMATS = ("JPEG", "PNG")
# Rows that are in memory at a time.
_BATCH = 64


def write_rows(task: Task, splits: dict[str, Dataset], folder: Path) -> None:
    """Write `SPLIT.parquet` for each split: the task's inputs and the number of the class, with the classes' names."""
    folder.mkdir()
    for name, rows in splits.items():
        _write(task, rows, folder / f"{name}.parquet")


def _write(task: Task, rows: Dataset, file: Path) -> None:
    """Write one split in batches; `datasets` finds the types of the columns in the file's schema."""
    import pyarrow
    from datasets import Audio as AudioColumn
    from datasets import ClassLabel, Features, Value
    from datasets import Image as ImageColumn
    from pyarrow.parquet import ParquetWriter

    columns: dict[str, Any] = {}
    converted: dict[str, Callable[[Any], bytes]] = {}
    for role in (role for role in task.inputs if role in rows.column_names):
        columns[role] = Value("string")
        if isinstance(task.inputs[role], Image):
            columns[role], converted[role] = ImageColumn(), partial(_rgb_file, task)
            rows = rows.cast_column(role, ImageColumn(decode=False))
        elif isinstance(task.inputs[role], Audio):
            rate = task.processor.sampling_rate
            columns[role], converted[role] = AudioColumn(sampling_rate=rate), partial(_wav_file, rate)
            rows = rows.cast_column(role, AudioColumn(decode=False))
    if "label" not in rows.column_names:
        # All splits have the same columns; of `datasets` a class that is not known is -1.
        rows = with_column(rows, "label", np.full(len(rows), -1))
    columns["label"] = ClassLabel(names=list(task.labels))
    schema = Features(columns).arrow_schema
    with ParquetWriter(file, schema) as writer:
        for batch in rows.select_columns([*columns]).iter(_BATCH):
            files = {role: [_stored(convert(cell)) for cell in batch[role]] for role, convert in converted.items()}
            writer.write_table(pyarrow.Table.from_pydict(batch | files, schema=schema))


def _stored(content: bytes) -> dict[str, Any]:
    """A file as a cell of an image or a recording."""
    return {"bytes": content, "path": None}


def _rgb_file(task: Task, cell: Any) -> bytes:
    """An image file as the model sees it: the file itself where it is RGB of 8 bits and not turned, else a PNG."""
    from PIL import ExifTags, ImageOps
    from PIL import Image as Pictures

    where = location(cell)
    content: bytes = where if isinstance(where, bytes) else Path(where).read_bytes()
    assert isinstance(task, ImageInput)
    with Pictures.open(io.BytesIO(content)) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        if image.format in _FORMATS and image.mode == "RGB" and not image.has_transparency_data and not turned:
            return content
        buffer = io.BytesIO()
        task.rgb(ImageOps.exif_transpose(image)).save(buffer, format="PNG")
    return buffer.getvalue()


def _wav_file(rate: int, cell: Any) -> bytes:
    """A recording as WAV: one channel of floats at the model's rate."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, resample(*open_audio(location(cell)), rate), rate, "FLOAT", format="WAV")
    return buffer.getvalue()
