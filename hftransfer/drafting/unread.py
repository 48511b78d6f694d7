"""What `hftransfer new` sees beside the rows and does not use: a column of splits, a table that names the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hftransfer.core import plugins
from hftransfer.core.errors import HFTransferError
from hftransfer.drafting.places import family, is_about_data
from hftransfer.drafting.proposal import Survey
from hftransfer.sources._listing import IMAGES, RECORDINGS, files_below, is_document
from hftransfer.sources._split_names import split_of

_MEDIA = {"imagefolder": IMAGES, "audiofolder": RECORDINGS}
# Tables that are looked into, their rows, and the share of these that has to name a file.
_TABLES, _ROWS, _MOST = 20, 500, 0.5


def unread(survey: Survey) -> list[str]:
    """A sentence for each, with what makes it used."""
    return [*_split_columns(survey), *_tables_of_files(survey), *_other_tables(survey)]


def _split_columns(survey: Survey) -> list[str]:
    """Columns that say train, validation or test, of a source with one split."""
    if len(survey.rows) > 1:
        return []
    sentences = []
    for column in survey.columns:
        words = {str(cell) for cell in column.values.get(survey.train, ()) if cell not in (None, "")}
        splits = {split_of(word) for word in words}
        if len(splits) > 1 and None not in splits:
            sentences.append(
                f"column '{column.name}' names the split of each row ({', '.join(sorted(words))}), and the rows of all "
                "are mixed: write one file a split, and name them as data.source.train, .validation and .test"
            )
    return sentences


def _other_tables(survey: Survey) -> list[str]:
    """The tables of a folder of tables that are not read."""
    root = Path(survey.data)
    if "train" not in survey.source or not root.is_dir():
        return []
    read = set(_strings([survey.source, survey.items or {}]))
    tables = [file for file in files_below(root) if family(file) and not is_about_data(file) and str(file) not in read]
    return [f"{len(tables)} of the tables in '{root}' are not read, first '{tables[0]}'"] if tables else []


def _strings(value: Any) -> Iterator[str]:
    """The strings within lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for it in value.values() if isinstance(value, dict) else value:
            yield from _strings(it)


def _tables_of_files(survey: Survey) -> list[str]:
    """Tables with a column of file names, beside images or recordings."""
    media = _MEDIA.get(survey.source["name"])
    if media is None:
        return []
    root = Path(survey.source["path"])
    files = files_below(root)
    names = {name.casefold() for file in files if media.includes(file) for name in (file.name, file.stem)}
    tables = [file for file in files if family(file) == "table" and file.stem != "metadata" and not is_document(file)]
    sentences = []
    for table in tables[:_TABLES]:
        if column := _column_of_files(table, names):
            sentences.append(
                f"'{table}' names the {media.plural} in its column '{column}', and is not read: save it as "
                f"'{root / 'metadata.csv'}' with the columns file_name (paths from '{root}') and label, or text"
            )
    return sentences


def _column_of_files(table: Path, names: set[str]) -> str | None:
    """The column of a table most of whose cells are names of files, with or without their endings."""
    try:
        rows = plugins.load("sources", "csv")(train=str(table)).head().load()["train"][:_ROWS]
    except HFTransferError:
        return None
    for column, values in rows.items():
        named = [str(value).replace("\\", "/").rpartition("/")[2].casefold() in names for value in values if value]
        if named and sum(named) > _MOST * len(named):
            return str(column)
    return None
