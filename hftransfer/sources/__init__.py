"""Where rows come from."""

from pathlib import Path
from typing import Any, Self

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import Plugin, nearest

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""What the folder of a split may be called, in small letters -> the split."""


class Source(Plugin):
    """Base of the sources."""

    def resolve(self) -> Self:
        """The source with a branch or tag pinned to the commit that it stands at."""
        return self

    def load(self) -> dict[str, Any]:
        """Split -> `datasets.Dataset`, with the columns as they are.

        Raises:
            DataError: the files or the data set are not there, or cannot be read.
        """
        raise NotImplementedError


class Folder(Source):
    """Base of the sources that are a folder."""

    path: str
    """The folder."""

    def root(self) -> Path:
        """The folder, which is there.

        Raises:
            DataError: it is not.
        """
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise DataError(f"data.source.path: there is no folder '{self.path}'")
        return root

    def splits(self) -> dict[str, Path]:
        """Split -> the folder that has its name; the folder itself, as `train`, where none has."""
        inside = [path for path in sorted(self.root().iterdir()) if path.is_dir()]
        return {SPLITS[it.name.lower()]: it for it in inside if it.name.lower() in SPLITS} or {"train": self.root()}


class Files(Source):
    """Base of the table sources: one file, or several, for each split; paths count from the working directory."""

    train: str | list[str]
    """The file or files of the split `train`."""
    validation: str | list[str] | None = None
    """Likewise; left out, a part of `train` serves."""
    test: str | list[str] | None = None
    """Likewise."""
    unlabelled: str | list[str] | None = None
    """Rows for `data.unlabelled: unlabelled`; they need no column of labels."""

    def _paths(self) -> dict[str, list[str]]:
        given = {name: getattr(self, name) for name in ("train", "validation", "test", "unlabelled")}
        lists = {split: [files] if isinstance(files, str) else files for split, files in given.items() if files}
        paths = {split: [it for file in files for it in _matching(file)] for split, files in lists.items()}
        for split, files in paths.items():
            for file in files:
                if not Path(file).is_file():
                    folder = Path(file).parent
                    here = [str(p) for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
                    raise DataError(f"data.source.{split}: there is no file '{file}'; {nearest(file, here)}")
        return paths

    def options(self) -> dict[str, Any]:
        """What the loader is told beside the files."""
        return {}

    def load(self) -> dict[str, Any]:
        """Every file through the loader of `datasets` that has the source's name."""
        paths = self._paths()
        # Read apart, since the files of one data set must have the same columns.
        bare = {"unlabelled": paths.pop("unlabelled")} if "unlabelled" in paths else {}
        options = self.options()
        parts = [read_with_datasets(self.name, options, data_files=files) for files in (paths, bare) if files]
        return {split: rows for part in parts for split, rows in part.items()}


def _matching(file: str) -> list[str]:
    """The files of a pattern (`train-*.parquet`) in the order of their names, or the one of this name."""
    path = Path(file).expanduser()
    # A name with a star in it may be that of a file.
    found = [path] if path.is_file() else sorted(path.parent.glob(path.name))
    return [str(it) for it in found] or [str(path)]


def read_with_datasets(loader: str, options: dict[str, Any] | None = None, **where: Any) -> dict[str, Any]:
    """All splits that a loader of `datasets` finds, with its failures as one sentence."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError
    from datasets.utils import logging

    # A failure is said below, in a sentence; the log of `datasets` would add its traceback.
    logging.set_verbosity(logging.CRITICAL)
    try:
        return dict(load_dataset(loader, **where, **(options or {})))
    except DatasetGenerationError as error:
        # That of splits with other columns says in its second line which.
        cause = str(error.__cause__) if error.__cause__ else " ".join(str(error).split())[:300]
        cause = f"data.source.encoding: {cause}" if "codec can't decode" in cause else cause
        raise DataError(f"data.source: {loader} cannot read {where}: {cause.partition(chr(10))[0]}") from None
    except StopIteration:
        raise DataError(f"data.source: {loader} finds no rows in {where}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"data.source: {loader}: {str(error).partition(chr(10))[0]}") from None
