"""A data set or its splits as `save_to_disk` of `datasets` wrote them.

https://huggingface.co/docs/datasets/process#save
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hftransfer.core.errors import DataError
from hftransfer.core.paths import is_folder
from hftransfer.sources import Source
from hftransfer.sources._split_names import SPLITS

if TYPE_CHECKING:
    from datasets import Dataset


_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""How Arrow ends a stream (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format)."""


class Disk(Source):
    """The data set's own columns; a data set without splits is `train`."""

    local_files: ClassVar[tuple[str, ...]] = ("path",)

    path: str
    """The folder, with dataset_dict.json or dataset_info.json in it."""

    def load(self) -> dict[str, Dataset]:
        import pyarrow
        from datasets import Dataset, load_from_disk

        root = Path(self.path).expanduser()
        if not is_folder(root):
            raise DataError(f"data.source.path: there is no folder '{self.path}'")
        try:
            loaded = load_from_disk(str(root))
        except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"data.source.path: '{self.path}' is no folder of save_to_disk, or damaged: {reason}"
            ) from None
        splits = {"train": loaded} if isinstance(loaded, Dataset) else dict(loaded)
        _refuse_cut(splits.values())
        renamed = {SPLITS.get(name.lower(), name): rows for name, rows in splits.items()}
        return renamed if len(renamed) == len(splits) else splits


def _refuse_cut(splits: Iterable[Dataset]) -> None:
    """Refuse files that end between two batches of rows, which Arrow reads without a word.

    Raises:
        DataError: a file does not end as a stream does.
    """
    for path in {Path(file["filename"]) for rows in splits for file in rows.cache_files}:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(_END_OF_STREAM)))
            if file.read() != _END_OF_STREAM:
                raise DataError(f"data.source.path: '{path}' is cut short: it does not end as an Arrow stream does")
