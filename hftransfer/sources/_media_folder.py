"""Images, recordings or texts in folders: the folder of a class, or a table `metadata.csv`, says what each file is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hftransfer.core.errors import DataError
from hftransfer.data.normal_form import nfc
from hftransfer.sources import Folder, unwrapped
from hftransfer.sources._listing import Finder, Media, endings, files_below
from hftransfer.sources._split_names import split_of
from hftransfer.sources.csv import Csv
from hftransfer.sources.json import Json
from hftransfer.sources.parquet import Parquet

if TYPE_CHECKING:
    from datasets import Dataset

_TABLES = {".csv": Csv, ".tsv": Csv, ".jsonl": Json, ".parquet": Parquet}
_FILE = "file_name"
# How folders of the training rows are called that are no class.
_UNLABELLED = frozenset(("unlabeled", "unlabelled", "unsup"))


class _Labelled(NamedTuple):
    """A file and the folders between that of its split and itself."""

    file: Path
    folders: tuple[str, ...]

    @property
    def label(self) -> str:
        return nfc(self.folders[0])


class MediaFolder(Folder):
    """Base of the sources whose rows are a file each. The first folder below that of the split is the class."""

    def read_folder(self) -> dict[str, Dataset]:
        """The rows of tables; those of class folders in splits that no table has."""
        if not self.media.below(self.root()):
            there = endings(files_below(self.root()))
            raise DataError(
                f"data.source.path: there are no {self.media.plural} in '{self.path}'"
                + (f"; it has {there}, which {self.media.decoder} does not read" if there else "")
            )
        splits = _from_tables(self.root(), self.media, self.warn)
        files = self._with_unlabelled(self._without_table(splits))
        classes = _from_classes(files, self.media)
        labelled = [it for split in classes if "label" in classes[split].column_names for it in files[split]]
        for one in [it for it in labelled if len(it.folders) > 1][:1]:
            self.warn(
                f"data.source.path: files lie in folders below that of their class, such as '{one.file}', whose "
                f"class is '{one.label}'"
            )
        return _with_equal_types(splits | classes)

    def _without_table(self, tabled: Mapping[str, Dataset]) -> dict[str, list[_Labelled]]:
        """Split -> its files with their folders, of the splits that no table has."""
        listed = {split: _listed(folders, self.media) for split, folders in self.split_folders().items()}
        return {split: files for split, files in listed.items() if files and split not in tabled}

    def _with_unlabelled(self, splits: dict[str, list[_Labelled]]) -> dict[str, list[_Labelled]]:
        """The splits, with one more of the training files in a folder `unsup`, which no other split has."""
        others = {it.label for split in splits if split != "train" for it in splits[split] if it.folders}
        train = splits.get("train", [])
        names = {it.label for it in train if it.folders} - others
        names = {name for name in names if name.lower() in _UNLABELLED}
        parted = [it for it in train if it.folders and it.label in names]
        if not parted or len(parted) == len(train):
            return splits
        self.warn(
            f"data.source.path: '{parted[0].label}' is taken for no class, by its name: its {len(parted):,} "
            f"{self.media.plural} are the split `unlabelled`, which is used with data.unlabelled: unlabelled"
        )
        rest = [it for it in train if it.label not in names]
        return {**splits, "train": rest, "unlabelled": [_Labelled(it.file, ()) for it in parted]}


def _listed(folders: list[Path], media: Media) -> list[_Labelled]:
    """The files of a split; where some are in class folders, those alone."""
    files = []
    for folder in folders:
        base = unwrapped(folder, media)
        files += [_Labelled(file, file.relative_to(base).parts[:-1]) for file in media.below(base)]
    return [it for it in files if it.folders] or files


def _from_classes(splits: Mapping[str, list[_Labelled]], media: Media) -> dict[str, Dataset]:
    """The files of each split, labelled by their folders.

    A split without such folders has no labels, nor has one whose only folder is no class of another split, as the
    `test/unknown/` of a competition.
    """
    from datasets import ClassLabel, Dataset, Features

    classes = {split: {it.label for it in files if it.folders} for split, files in splits.items()}
    for split, names in classes.items():
        others = set().union(*(classes[other] for other in classes if other != split))
        if len(names) == 1 and not names <= others:
            classes[split] = set()
    shared = sorted(set().union(*classes.values()))
    result = {}
    for split, files in splits.items():
        labels = {"label": [shared.index(it.label) for it in files]} if classes[split] else {}
        rows = Dataset.from_dict(labels, Features({"label": ClassLabel(names=shared)})) if labels else None
        result[split] = with_files(rows, {media.column: [it.file for it in files]}, media)
    return result


def _from_tables(root: Path, media: Media, warn: Callable[[str], None]) -> dict[str, Dataset]:
    """The rows of all tables `metadata.csv`, `.jsonl` and `.parquet`, by the split whose folder their files are in.

    Raises:
        DataError: a table names no files, or some of them are in a split's folder and others in none.
    """
    from datasets import concatenate_datasets

    files = files_below(root)
    tables = [file for file in files if file.stem.lower() == "metadata" and file.suffix.lower() in _TABLES]
    finder = Finder(file for file in files if media.includes(file)) if tables else None
    parts: dict[str | None, list[Dataset]] = {}
    for table in tables:
        if several := [other for other in tables if other.parent == table.parent and other != table]:
            raise DataError(f"data.source.path: '{table}' and '{several[0]}' describe one folder; keep one of them")
        assert finder is not None
        for split, rows in _table_rows(table, root, finder, media, warn).items():
            parts.setdefault(split, []).append(rows)
    if None in parts and len(parts) > 1:
        place = parts[None][0][0][media.column]
        raise DataError(f"data.source.path: a table names '{place}', which is in no folder train, valid or test")
    try:
        return {split or "train": concatenate_datasets(rows) for split, rows in parts.items()}
    except ValueError as error:
        raise DataError(f"data.source.path: the tables of a split have different columns: {error}") from None


def _table_rows(
    table: Path, root: Path, finder: Finder, media: Media, warn: Callable[[str], None]
) -> dict[str | None, Dataset]:
    """Split -> the rows of a table; the key None has those of files in no folder of a split."""
    source = _TABLES[table.suffix.lower()](train=str(table))
    rows = source.load()["train"]
    for sentence in source.warnings:
        warn(sentence)
    if _FILE not in rows.column_names:
        raise DataError(f"data.source.path: '{table}' has no column '{_FILE}'")
    # As in the loader of `datasets`, `mask_file_name` makes a column `mask`.
    named = {name: name.removesuffix(f"_{_FILE}") for name in rows.column_names if name.endswith(f"_{_FILE}")}
    paths = {column: _found(table, rows, name, finder) for name, column in ({_FILE: media.column} | named).items()}
    columns = [name for name in rows.column_names if name not in (_FILE, *named, *paths)]
    whole = with_files(rows.select_columns(columns) if columns else None, paths, media)
    places: dict[str | None, list[int]] = {}
    for number, path in enumerate(paths[media.column]):
        folders = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
        places.setdefault(next(filter(None, map(split_of, folders)), None), []).append(number)
    return {split: whole.select(numbers) for split, numbers in places.items()}


def _found(table: Path, rows: Dataset, column: str, finder: Finder) -> list[Path]:
    """The files that a column names; one that is not there is reported with its row."""
    paths = []
    for number, name in enumerate(rows[column][:]):
        if not name:
            raise DataError(f"{table}: row {number} has no {column}")
        paths.append(finder.find(str(name), table.parent) or table.parent / str(name))
    return paths


def with_files(rows: Dataset | None, columns: Mapping[str, list[Path]], media: Media) -> Dataset:
    """Rows with columns of files, not decoded; None: with those columns alone.

    Paths are stored as structs and cast afterwards, since encoding a recording needs torchcodec; those of texts are not
    cast.
    """
    from datasets import Audio, Dataset, Features, Image, Value

    stored = {"bytes": Value("binary"), "path": Value("string")}
    types = {"image": Image(), "audio": Audio(decode=False)}
    for name, files in columns.items():
        paths = [{"path": str(file), "bytes": None} for file in files]
        if rows is None:
            rows = Dataset.from_dict({name: paths}, Features({name: stored}))
        else:
            rows = rows.add_column(name, paths, feature=stored)
        if media.column in types:
            rows = rows.cast_column(name, types[media.column])
    assert rows is not None
    return rows


def _with_equal_types(splits: dict[str, Dataset]) -> dict[str, Dataset]:
    """The splits with words for labels in all of them where a table has words in one."""
    from datasets import ClassLabel, Value

    labels = [rows.features["label"] for rows in splits.values() if "label" in rows.features]
    if all(isinstance(label, ClassLabel) for label in labels):
        return splits

    def named(rows: Dataset) -> Dataset:
        label = rows.features.get("label")
        if not isinstance(label, ClassLabel):
            return rows
        words = label.int2str(rows["label"][:])
        return rows.remove_columns("label").add_column("label", words, feature=Value("string"))

    return {split: named(rows) for split, rows in splits.items()}
