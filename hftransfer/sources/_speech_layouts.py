"""Recordings with transcripts in the folders of LJSpeech, Common Voice and LibriSpeech.

https://keithito.com/LJ-Speech-Dataset/, https://commonvoice.mozilla.org/datasets, https://www.openslr.org/12
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core.errors import DataError
from hftransfer.sources._listing import RECORDINGS, Finder
from hftransfer.sources._media_folder import with_files
from hftransfer.sources._split_names import SPLITS, split_in

if TYPE_CHECKING:
    from datasets import Dataset

Table = tuple[list[Path], dict[str, list[str]]]
"""Recordings and the other columns."""


def is_table(file: Path) -> bool:
    """Whether a file has transcripts in one of these layouts, by its name."""
    return file.name.endswith(".trans.txt") or file.suffix == ".tsv" or file.stem.startswith("metadata")


def read_layout(files: list[Path]) -> dict[str, Dataset]:
    """Split -> rows with `audio` and the columns of the layout; nothing where it is none of them."""
    from datasets import Dataset

    finder = Finder(file for file in files if RECORDINGS.includes(file))
    tables = _libri_speech(files, finder) or _common_voice(files, finder) or _lj_speech(files, finder)
    return {
        split: with_files(Dataset.from_dict(columns), {"audio": paths}, RECORDINGS)
        for split, (paths, columns) in tables.items()
    }


def _path(finder: Finder, name: str, base: Path) -> Path:
    """The recording of a name, with or without its ending; one that is not there is reported with its row."""
    return finder.find(name, base) or finder.find_stem(Path(name).name, base) or base / name


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not in UTF-8: {error}") from None


def _libri_speech(files: list[Path], finder: Finder) -> dict[str, Table]:
    """`train-clean-100/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt`, a line `ID TEXT` for each recording."""
    tables: dict[str, Table] = {}
    for file in (file for file in files if file.name.endswith(".trans.txt")):
        split = next(filter(None, map(split_in, reversed(file.parts[:-1]))), "train")
        paths, columns = tables.setdefault(split, ([], {"text": [], "speaker": []}))
        for line in _lines(file):
            name, _, text = line.strip().partition(" ")
            paths.append(_path(finder, name, file.parent))
            columns["text"].append(text)
            columns["speaker"].append(name.partition("-")[0])
    return tables


def _common_voice(files: list[Path], finder: Finder) -> dict[str, Table]:
    """`clips/` with train.tsv, dev.tsv and test.tsv, or validated.tsv alone; quotation marks are parts of sentences."""
    found = {}
    for file in (file for file in files if file.suffix == ".tsv"):
        lines = [line.rstrip("\r").split("\t") for line in _lines(file)]
        if lines and {"path", "sentence"} <= set(lines[0]):
            found[file] = lines
    named = {SPLITS[file.stem]: file for file in found if file.stem in SPLITS}
    validated = [file for file in found if file.stem == "validated"]
    if not named and validated:
        named = {"train": validated[0]}
    tables = {}
    for split, file in named.items():
        header, *rows = found[file]
        if wrong := [number for number, row in enumerate(rows, 2) if len(row) != len(header)]:
            raise DataError(f"{file}: line {wrong[0]} has other than {len(header)} cells")
        columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
        tables[split] = ([_path(finder, name, file.parent / "clips") for name in columns.pop("path")], columns)
    return tables


def _lj_speech(files: list[Path], finder: Finder) -> dict[str, Table]:
    """`wavs/` with metadata.csv: `ID|text|normalized text`, mostly without a header and never quoted."""
    found: dict[str, list[Path]] = {}
    for file in (file for file in files if file.stem.startswith("metadata") and file.suffix in (".csv", ".txt")):
        first = next(iter(_lines(file)), "")
        if "|" in first and "file_name" not in first.split("|"):
            found.setdefault(split_in(file.stem) or "", []).append(file)
    whole = found.pop("", [])
    if whole and not found:
        found = {"train": whole}
    tables = {}
    for split, (file, *_) in found.items():
        rows = [line.rstrip("\r").split("|") for line in _lines(file)]
        if wrong := [number for number, row in enumerate(rows, 1) if len(row) != len(rows[0]) or len(row) > 3]:
            raise DataError(f"{file}: line {wrong[0]} has other cells than id|text or id|text|normalized text")
        paths = [_path(finder, row[0], file.parent / "wavs") for row in rows]
        start = int(not paths[0].is_file() and len(paths) > 1 and paths[1].is_file())
        names = ("text", "normalized_text")[: len(rows[0]) - 1]
        columns = {name: [row[place] for row in rows[start:]] for place, name in enumerate(names, 1)}
        tables[split] = (paths[start:], columns)
    return tables
