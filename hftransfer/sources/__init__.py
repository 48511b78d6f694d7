"""Where rows come from: files, folders, the Hub, samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import PrivateAttr

from hftransfer.core.errors import DataError
from hftransfer.core.paths import is_file, is_folder
from hftransfer.core.plugins import Plugin, nearest
from hftransfer.sources._archives import check_unpacked

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""Lower-case name of a folder -> the split that it holds."""


class Source(Plugin):
    """Base of the sources. Implement `load`; override `pin_revision` where rows may change under one name."""

    _warnings: list[str] = PrivateAttr(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """What `load` guessed or left out, in a sentence each, for `check` and the record of a run."""
        return self._warnings

    def warn(self, sentence: str) -> None:
        """Report a guess that changes what the rows mean, or rows that are left out."""
        if sentence not in self._warnings:
            self._warnings.append(sentence)

    def pin_revision(self) -> Self:
        """The source with a branch or tag replaced by the commit that it stands at. Called once, before `load`."""
        return self

    def load(self) -> dict[str, Dataset]:
        """Split -> rows, with the source's own columns.

        Raises:
            DataError: the files or the data set do not exist, or cannot be read.
        """
        raise NotImplementedError


class Folder(Source):
    """Base of the sources that are a folder."""

    path: str
    """The folder."""

    def root(self) -> Path:
        """The folder.

        Raises:
            DataError: it does not exist.
        """
        root = Path(self.path).expanduser()
        if not is_folder(root):
            raise DataError(f"data.source.path: there is no folder '{self.path}'")
        return root

    def split_folders(self) -> dict[str, Path]:
        """Split -> the folder with its name; the whole folder as `train` where none has such a name."""
        folders = [path for path in sorted(self.root().iterdir()) if path.is_dir()]
        named = {SPLITS[folder.name.lower()]: folder for folder in folders if folder.name.lower() in SPLITS}
        return named or {"train": self.root()}


class Files(Source):
    """Base of the table sources: one file, or several, for each split; relative to the working directory."""

    train: str | list[str]
    """The file or files of the split `train`; a pattern such as `train-*.parquet` names several."""
    validation: str | list[str] | None = None
    """Those of `validation`; left out, a part of `train`."""
    test: str | list[str] | None = None
    """Those of `test`; left out, a part of `train`."""
    unlabelled: str | list[str] | None = None
    """Rows for `data.unlabelled: unlabelled`; they need no column of labels."""

    def loader_options(self) -> dict[str, Any]:
        """Arguments of the loader of `datasets` besides the files."""
        return {}

    def load(self) -> dict[str, Dataset]:
        """The files, read by the loader of `datasets` that has the source's name."""
        paths = self._paths()
        # Read by itself, since the files of one data set must have the same columns.
        unlabelled = {"unlabelled": paths.pop("unlabelled")} if "unlabelled" in paths else {}
        options = self.loader_options()
        parts = [read_with_datasets(self.name, options, data_files=files) for files in (paths, unlabelled) if files]
        return {split: rows for part in parts for split, rows in part.items()}

    def _paths(self) -> dict[str, list[str]]:
        """Split -> its files.

        Raises:
            DataError: one of them does not exist.
        """
        fields = {split: getattr(self, split) for split in ("train", "validation", "test", "unlabelled")}
        lists = {split: [files] if isinstance(files, str) else files for split, files in fields.items() if files}
        paths = {split: [path for file in files for path in _matching(file)] for split, files in lists.items()}
        for split, files in paths.items():
            for file in files:
                if not is_file(file):
                    folder = Path(file).parent
                    others = [str(path) for path in folder.iterdir() if path.is_file()] if is_folder(folder) else []
                    raise DataError(f"data.source.{split}: there is no file '{file}'; {nearest(file, others)}")
                check_unpacked(Path(file))
        return paths


def _matching(file: str) -> list[str]:
    """The files that match a pattern (`train-*.parquet`), sorted by name, or the file of this name."""
    path = Path(file).expanduser()
    # The name of a file may hold a star; only patterns are looked up, which fails for a name that is too long.
    is_pattern = any(sign in path.name for sign in "*?[") and not is_file(path)
    matching = sorted(path.parent.glob(path.name)) if is_pattern else []
    return [str(match) for match in matching] or [str(path)]


def read_with_datasets(loader: str, options: dict[str, Any] | None = None, **place: Any) -> dict[str, Dataset]:
    """All splits that a loader of `datasets` finds at a place (`data_files`, or `name` and `revision`).

    Raises:
        DataError: it finds nothing, or cannot read it; in one sentence.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError
    from datasets.utils import logging

    # A failure is reported below in a sentence; the log of `datasets` would add its traceback.
    logging.set_verbosity(logging.CRITICAL)
    try:
        return dict(load_dataset(loader, **place, **(options or {})))
    except DatasetGenerationError as error:
        # Of splits with different columns, the second line says which.
        cause = str(error.__cause__) if error.__cause__ else " ".join(str(error).split())[:300]
        cause = f"data.source.encoding: {cause}" if "codec can't decode" in cause else cause
        raise DataError(f"data.source: {loader} cannot read {place}: {cause.partition(chr(10))[0]}") from None
    except StopIteration:
        raise DataError(f"data.source: {loader} finds no rows in {place}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"data.source: {loader}: {str(error).partition(chr(10))[0]}") from None
