"""What a path may be, by its name and the heads of its files: sections `source` of a recipe, the likeliest first."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.paths import is_file, is_folder
from hftransfer.core.prefixes import SAMPLE
from hftransfer.drafting import folders
from hftransfer.drafting.heads import (
    encoding_of,
    head,
    is_coco,
    is_conll,
    is_label_studio,
    is_spans,
    is_squad,
    rows_key,
)
from hftransfer.drafting.nameless import advice
from hftransfer.sources._archives import zip_entries
from hftransfer.sources._listing import files_below, is_document, is_hidden
from hftransfer.sources._split_names import SPLITS, split_in, split_of
from hftransfer.sources._text_files import COMPRESSED
from hftransfer.sources.text import label_of

Section = dict[str, Any]
"""A source as a recipe writes it: its name and its fields."""

_HUB = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")
# Folders of recordings beside a table: those of Common Voice and LJSpeech.
_RECORDINGS = ("clips", "wavs")
_SHEETS = (".xlsx", ".xls", ".ods")
# Names of files that say of what class their lines are.
_CLASSES = {
    *("pos", "positive", "neg", "negative", "neu", "neutral"),
    *("spam", "ham", "toxic", "nontoxic", "clean", "fake", "real", "true", "false", "normal", "anomaly"),
}
_ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar")
# Ending -> the family whose files belong together, the preferred first.
_FAMILIES = {
    ".parquet": "parquet",
    ".csv": "table",
    ".tsv": "table",
    ".tab": "table",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".conll": "conll",
    ".conllu": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".txt": "text",
    ".text": "text",
}


def candidates(data: str) -> list[Section]:
    """Sources that may read a file, a folder, `sample:NAME` or a data set of the Hub (`user/name`, `user/name:config`).

    Raises:
        RecipeError: there is nothing of this name, and no data set of the Hub can have it.
    """
    path = Path(data).expanduser()
    if data.startswith(SAMPLE):
        name = data.removeprefix(SAMPLE)
        if name not in plugins.names("samples"):
            raise RecipeError(f"no sample is named '{name}'; {plugins.nearest(name, plugins.names('samples'))}")
        return [{"name": "sample", "id": name}]
    if is_file(path):
        return list(_of_file(path))
    if is_folder(path):
        found = [*folders.candidates(path), *_of_tables(path)]
        files = [] if found else files_below(path)
        if files and (sentence := advice(sorted(files, key=lambda file: split_in(file.name) != "train"))):
            raise RecipeError(sentence)
        return found
    near = [str(it) for it in path.parent.iterdir() if not is_hidden(it.name)] if is_folder(path.parent) else []
    if not _HUB.fullmatch(data) or path.suffix.lower() in _FAMILIES:
        raise RecipeError(f"there is no file or folder '{data}'; {plugins.nearest(data, near)}")
    name, _, config = data.partition(":")
    return [{"name": "hub", "id": name} | ({"config": config} if config else {})]


def family(path: Path) -> str | None:
    """The family of a file by its ending, compressed or not."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSED else ""
    kind = _FAMILIES.get(suffixes[-1]) if suffixes else None
    if kind is None and packed == ".zip":
        inside = zip_entries(path)
        return _FAMILIES.get(Path(inside[0]).suffix.lower()) if len(inside) == 1 else None
    return kind


def is_about_data(file: Path) -> bool:
    """Whether a file is no table, but says something of others: README.txt, or what `datasets` writes beside rows."""
    return is_document(file) or file.stem in ("dataset_info", "dataset_infos", "state")


def _of_file(path: Path) -> Iterator[Section]:
    """The sources of a file, with the files of the other splits beside it: train.csv, test.csv."""
    kind = family(path)
    if kind is None:
        if {suffix.lower() for suffix in path.suffixes} & set(_ARCHIVES):
            raise RecipeError(f"'{path}' is an archive of more than one table: unpack it, and name what is in it")
        if path.suffix.lower() in _SHEETS:
            raise RecipeError(f"'{path}' is a workbook, which no source reads: save the sheet as CSV")
        if sentence := advice(
            [path, *sorted(it for it in path.parent.glob(f"{glob.escape(path.stem)}.*") if it != path)]
        ):
            raise RecipeError(sentence)
        known = ", ".join(_FAMILIES)
        raise RecipeError(f"'{path}' ends in none of {known}; a folder of images or recordings is named as a whole")
    if kind == "json" and is_coco(path):
        folder = path.parent.parent if path.parent.name.lower() == "annotations" else path.parent
        yield {"name": "coco", "path": str(folder)}
    if path.name.partition(".")[0] == "metadata" or any((path.parent / name).is_dir() for name in _RECORDINGS):
        yield from folders.candidates(path.parent)
    splits = _by_split(_siblings(path)) if split_in(path.name) else {"train": [path]}
    if "train" in splits and path not in [file for files in splits.values() for file in files]:
        splits = {"train": [path]}
    yield from _of_splits(kind, splits if "train" in splits else {"train": [path]})


def _siblings(path: Path) -> list[Path]:
    """The files beside one whose names differ from its by the word of the split alone."""

    def key(file: Path) -> tuple[str, ...]:
        return tuple(word for word in re.split(r"[^a-z]+", file.name.lower()) if word not in SPLITS)

    files = [file for file in path.parent.iterdir() if file.is_file() and not is_hidden(file.name)]
    return sorted(file for file in files if key(file) == key(path))


def _by_split(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Split -> its files, by the words of their names, else by their folders."""
    splits: dict[str, list[Path]] = {}
    for file in files:
        split = split_in(file.name) or next(filter(None, map(split_of, reversed(file.parts[-4:-1]))), None)
        if split:
            splits.setdefault(split, []).append(file)
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}


def _of_tables(root: Path) -> Iterator[Section]:
    """The sources of a folder of tables: those of its splits, all files as one, or the largest alone."""
    families: dict[str, list[Path]] = {}
    for file in files_below(root):
        if (kind := family(file)) and not is_about_data(file):
            families.setdefault(kind, []).append(file)
    found = {kind: _by_split(families.get(kind, [])) for kind in dict.fromkeys(_FAMILIES.values())}
    for kind, splits in sorted(found.items(), key=lambda item: "train" not in item[1]):
        files = families.get(kind, [])
        named = {file for them in splits.values() for file in them}
        others = [file for file in files if file not in named]
        if "train" not in splits and named and others and len({_first_line(file) for file in files}) == 1:
            splits = {"train": others, **splits}
        if "train" in splits:
            yield from _of_splits(kind, splits)
        elif files:
            largest = max(files, key=lambda file: file.stat().st_size)
            yield from _of_splits(kind, {"train": files})
            if len(files) > 1:
                yield from _of_splits(kind, {"train": [largest]})


def _first_line(file: Path) -> str:
    """The names of the columns, of a file of text; nothing of a row in JSON."""
    line = head(file).partition("\n")[0].strip()
    return "" if line.startswith(("{", "[")) else line


def _of_splits(kind: str, splits: dict[str, list[Path]]) -> Iterator[Section]:
    """The sources of tables of one family."""
    first = splits["train"][0]
    named = {split: [str(it) for it in files] if len(files) > 1 else str(files[0]) for split, files in splits.items()}
    if kind == "parquet":
        yield {"name": "parquet", **named}
        return
    text, encoding = head(first), encoding_of(first)
    spelled = named | ({"encoding": encoding} if encoding else {})
    if kind == "json":
        yield from _of_json(first, text, named)
        key = rows_key(first) if len(splits) == 1 else None
        yield {"name": "json", **spelled, **({"field": key} if key else {})}
        return
    if kind == "conll" or is_conll(text):
        yield {"name": "conll", **spelled}
    if kind == "table" or (kind == "text" and _has_columns(text)):
        yield {"name": "csv", **spelled}
    if kind == "text":
        labels = {"labels": "first_word"} if text.startswith("__label__") else {}
        sections = [{"name": "text", **spelled, **labels}]
        if not labels and min(len(files) for files in splits.values()) > 1:
            names = {label_of(file).lower() for file in splits["train"]}
            sections.insert(0 if names <= _CLASSES else 1, {"name": "text", **spelled, "labels": "file_name"})
        yield from sections


def _of_json(first: Path, text: str, named: Section) -> Iterator[Section]:
    """The formats of JSON that have a source of their own."""
    if is_squad(text):
        yield {"name": "squad", **named}
    if is_label_studio(text):
        yield {"name": "label_studio", **named}
    if is_spans(first):
        yield {"name": "doccano", **named}


def _has_columns(text: str) -> bool:
    """Whether each line of a text file has equally many tabs, semicolons or | in it."""
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    return any(len({line.count(sign) for line in lines}) == 1 and lines[0].count(sign) for sign in "\t;|" if lines)
