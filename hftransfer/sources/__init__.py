"""Where rows come from: files, folders, the Hub, samples."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr

from hftransfer.core.errors import DataError
from hftransfer.core.paths import is_file, is_folder
from hftransfer.core.plugins import Plugin, nearest
from hftransfer.sources._archives import check_unpacked
from hftransfer.sources._heads import head_of
from hftransfer.sources._listing import Media, endings, files_below, is_document, visible
from hftransfer.sources._split_names import split_in, split_of, without_split

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset


class Source(Plugin):
    """Base of the sources. Implement `load`; override `pin_revision` where rows may change under one name."""

    fixed_layout: ClassVar[bool] = False
    """Whether the format says what the numbers of each column mean, as COCO's does of boxes."""

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

    def head(self) -> Self:
        """The source with the first rows alone of large files, for a check; itself where it reads some rows anyway."""
        return self

    def count(self) -> dict[str, int] | None:
        """Split -> its rows, of a source that can `take` some without reading all; None of any other."""
        return None

    def take(self, split: str, numbers: np.ndarray) -> Dataset | None:  # noqa: ARG002
        """The rows of a split with these numbers, ascending; None where they are too large to be held in memory."""
        return None

    def stream(self, split: str) -> Iterator[Dataset]:  # noqa: ARG002
        """The rows of a split, some at a time, in their order.

        Raises:
            DataError: the source has to read all of them first.
        """
        raise DataError(f"data.streaming: the source {self.name} reads all rows before one is used; parquet does not")


class Folder(Source):
    """Base of the sources that are a folder of images, recordings or texts."""

    media: ClassVar[Media]
    """What the rows are files of."""
    annotations: ClassVar[tuple[str, ...]] = ()
    """Endings of the files that describe the images."""
    local_files: ClassVar[tuple[str, ...]] = ("path",)

    path: str
    """The folder."""

    def load(self) -> dict[str, Dataset]:
        """The rows of `read_folder`, and a warning of the files that are in none."""
        rows = self.read_folder()
        self._warn_of_unread(rows)
        return rows

    def read_folder(self) -> dict[str, Dataset]:
        """Split -> rows, with the source's own columns."""
        raise NotImplementedError

    def root(self) -> Path:
        """The folder.

        Raises:
            DataError: it does not exist.
        """
        root = Path(self.path).expanduser()
        if not is_folder(root):
            raise DataError(f"data.source.path: there is no folder '{self.path}'")
        if root.resolve() == Path(root.resolve().anchor):
            raise DataError(f"data.source.path: '{self.path}' is the whole file system; name a folder in it")
        return root

    def split_folders(self) -> dict[str, list[Path]]:
        """Split -> the folders with its name; the whole folder as `train` where none has such a name."""
        root = unwrapped(self.root(), self.media)
        folders = [path for path in visible(root) if path.is_dir()]
        splits = {folder: split_of(folder.name) for folder in folders}
        if not any(splits.values()) and len({without_split(folder.name) for folder in folders}) == 1:
            # `news-train` and `news-test`.
            splits = {folder: split_in(folder.name) for folder in folders}
        named: dict[str, list[Path]] = {}
        for folder, split in splits.items():
            if split:
                named.setdefault(split, []).append(folder)
        inside = [path for paths in named.values() for folder in paths for path in visible(folder)]
        if len(named) == 1 and not any(path.is_dir() for path in inside):
            # A class may be called `train`, as `bus` and `tram` beside it are.
            others = [folder for folder in folders if not split_of(folder.name)]
            named = {} if any(self.media.below(folder) for folder in others) else named
        return named or {"train": [root]}

    def _warn_of_unread(self, rows: Mapping[str, Dataset]) -> None:
        used = {os.path.normpath(path) for split in rows.values() for path in _paths(split)}
        files = [file for file in files_below(self.root()) if not self._describes(file)]
        left_out = [file for file in files if os.path.normpath(file) not in used]
        unread = [file for file in left_out if not self.media.includes(file)]
        unused = [file for file in left_out if self.media.includes(file)]
        reasons = (
            (unread, f"which {self.media.decoder} does not read (it reads {self.media.usual})"),
            (unused, "which belong to no class, table or split"),
        )
        said = "; ".join(f"{endings(them)}, first '{them[0]}', {reason}" for them, reason in reasons if them)
        if said:
            counts = f"{len(left_out):,} of {len(files):,} files in '{self.path}'"
            self.warn(f"data.source.path: {counts} are left out: {said}")

    def _describes(self, file: Path) -> bool:
        return is_document(file) or file.stem == "metadata" or file.suffix.lower() in self.annotations


def unwrapped(folder: Path, media: Media) -> Path:
    """The folder that has all there is: `data/flowers/` where `data` has nothing else, as archives are unpacked."""
    while True:
        inside = [path for path in visible(folder) if path.is_dir() or not is_document(path)]
        if len(inside) != 1 or not inside[0].is_dir() or split_of(inside[0].name) not in (None, split_of(folder.name)):
            return folder
        below = visible(inside[0])
        if not any(path.is_dir() for path in below) or any(path.is_file() and media.includes(path) for path in below):
            return folder
        folder = inside[0]


def _paths(rows: Dataset) -> Iterator[str]:
    """The files of all columns of images, recordings and texts."""
    from datasets import Audio, Image
    from pyarrow import compute

    for name, feature in rows.features.items():
        if isinstance(feature, Image | Audio) or (isinstance(feature, dict) and set(feature) == {"bytes", "path"}):
            yield from filter(None, compute.struct_field(rows.data.column(name), "path").to_pylist())


class Files(Source):
    """Base of the table sources: one file, or several, for each split; relative to the working directory."""

    local_files: ClassVar[tuple[str, ...]] = ("train", "validation", "test", "unlabelled")
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
        if not lists.get("train"):
            raise DataError("data.source.train: it names no file")
        paths = {split: [path for file in files for path in matching(file)] for split, files in lists.items()}
        for split, files in paths.items():
            for file in files:
                if not is_file(file):
                    folder = Path(file).parent
                    others = [str(path) for path in folder.iterdir() if path.is_file()] if is_folder(folder) else []
                    raise DataError(f"data.source.{split}: there is no file '{file}'; {nearest(file, others)}")
                check_unpacked(Path(file))
        return paths


class LineFiles(Files):
    """Base of the table sources whose files can be cut behind a line."""

    encoding: str = "utf-8"
    """Of the files, as Python names it: latin-1, cp1252, utf-16."""

    _files: dict[str, str] = PrivateAttr(default_factory=dict)
    """Head of a large file -> that file."""

    def head(self) -> Self:
        """The source with the first lines of large files in their place."""
        paths = self._paths()
        first_lines = {split: [head_of(file, self.encoding) for file in files] for split, files in paths.items()}
        pairs = [pair for split in paths for pair in zip(first_lines[split], paths[split], strict=True)]
        large = {head: file for head, file in pairs if head != file}
        if not large:
            return self
        source = self.model_copy(update=first_lines)
        source._files, source._warnings = large, []
        source.warn(f"only the first 32 MB of {', '.join(large.values())} were read; a run reads all")
        return source

    def warn(self, sentence: str) -> None:
        """Report a guess, of a large file by its own name."""
        for head, file in self._files.items():
            sentence = sentence.replace(head, file)
        super().warn(sentence)


def matching(file: str) -> list[str]:
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
