"""What some data are: the source that reads them, their columns, and the tasks that these fit, the best first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, HFTransferError, RecipeError
from hftransfer.core.prefixes import SAMPLE
from hftransfer.drafting import interactions
from hftransfer.drafting.columns import Column, inspect
from hftransfer.drafting.places import Section, candidates
from hftransfer.drafting.role_names import words_of
from hftransfer.drafting.roles import CLOSE, Candidate, rank

if TYPE_CHECKING:
    from datasets import Dataset

# Sources whose files are like no others: where one of them cannot be read, its sentence is what helps.
_CERTAIN = frozenset(("beir", "coco", "disk", "maskfolder", "squad", "voc", "yolo"))
# Words of a header's name beyond which it is taken for a row.
_HEADER_WORDS = 6
# Columns that no task reads together, and what can be done with them.
_UNSUPPORTED = {
    frozenset(("chosen", "rejected")): (
        "preferences (DPO), from which no task learns; text-generation learns from the chosen texts in a column 'text'"
    ),
    frozenset(("instruction", "input", "output")): (
        "instructions (Alpaca), which no task reads as three columns; join instruction and input as 'source', with "
        "output as 'target', for --task summarization, or all three as 'text' for --task text-generation"
    ),
    frozenset(("sentence #", "word", "tag")): (
        "a word a row, which is read as CoNLL: write a file .conll with a word and its tag on each line, and an empty "
        "line between sentences"
    ),
}
# Names of columns that no row has for a cell.
_USUAL = ("text", "label", "sentence", "category", "class", "target")
_MISSING = ("", "-", "?", "n/a", "na", "nan", "none", "null")
_YEAR = re.compile("(19|20)\\d\\d")


@dataclass(frozen=True)
class Survey:
    """Some data, looked at."""

    data: str
    """As the user names them."""
    source: Section
    """The section `data.source` that reads them."""
    rows: dict[str, int]
    """Split of the source -> its rows."""
    columns: list[Column]
    ranking: list[Candidate]
    """Tasks that the columns fit, the best first."""
    warnings: list[str] = field(default_factory=list)
    """What the source guessed or left out."""
    train: str = "train"
    """The split of the source that is trained on."""
    table: Dataset | None = field(default=None, repr=False)
    """The rows of that split."""
    items: dict[str, Any] | None = None
    """The section `data.items`, where a second table has the texts of items."""

    @property
    def close(self) -> list[Candidate]:
        """The tasks that fit about as well as the best one, that one first."""
        return [it for it in self.ranking if self.ranking[0].points - it.points < CLOSE]


def survey(data: str, task: str | None = None) -> Survey:
    """Look at a file, a folder, `sample:NAME` or a data set of the Hub.

    Args:
        data: A path, `sample:NAME`, `user/name` or `user/name:config`.
        task: The task, if it is not to be found.

    Raises:
        RecipeError: there is nothing of this name, or no task fits its columns.
        DataError: no source can read it; the sentence is that of the likeliest one.
    """
    if task is not None and task not in plugins.names("tasks"):
        raise RecipeError(f"--task: no task is named '{task}'; {plugins.nearest(task, plugins.names('tasks'))}")
    failed: HFTransferError | None = None
    unfit: Survey | None = None
    for section in candidates(data):
        try:
            found = _read(data, section, task)
        except (DataError, RecipeError) as error:
            if section["name"] in _CERTAIN or (section["name"] == "doccano" and task in (None, "token-classification")):
                raise
            failed = failed or error
            continue
        if found.ranking:
            return found
        unfit = unfit or found
    if unfit is not None:
        raise RecipeError(_no_task(unfit, task))
    raise failed or RecipeError(
        f"'{data}' holds no tables, images or recordings that a source reads: {', '.join(plugins.names('sources'))}"
    )


def _no_task(found: Survey, task: str | None) -> str:
    columns = ", ".join(f"{it.name} ({it.description})" for it in found.columns) or "none"
    wanted = f"the task '{task}' does not fit" if task else "no task fits"
    return f"{wanted} the columns of '{found.data}': {columns}; docs/tasks.md says what each task needs"


def _read(data: str, section: Section, task: str | None) -> Survey:
    rows, warnings = _load(section)
    if section["name"] == "csv" and _lacks_header(rows[_train(rows)]):
        section = {**section, "header": False}
        rows, warnings = _load(section)
    train = _train(rows)
    if task is None:
        _refuse_unsupported(data, rows[train].column_names)
    columns = inspect({"train": rows[train]} | {split: them for split, them in rows.items() if split != train})
    ranking = rank(columns, task)
    if (task is None or not ranking) and (users := _of_interactions(data, section, columns, task, alone=not ranking)):
        return users
    counts = {split: len(them) for split, them in rows.items()}
    return Survey(data, _with_decimal(section, columns), counts, columns, ranking, warnings, train, rows[train])


def _refuse_unsupported(data: str, names: Sequence[str]) -> None:
    """Refuse columns that would make a recipe which misses what they are for.

    Raises:
        RecipeError: the sentence says what to do.
    """
    found = {name.lower() for name in names}
    for wanted, sentence in _UNSUPPORTED.items():
        if wanted <= found:
            raise RecipeError(f"the columns {', '.join(sorted(wanted))} of '{data}' are {sentence}")


def _of_interactions(
    data: str, section: Section, columns: Sequence[Column], task: str | None, *, alone: bool
) -> Survey | None:
    """A table of who liked what and when, as rows of users; None where it is none, or no user liked enough.

    Raises:
        DataError: it cannot be read as such a table, and is `alone`, as it fits no other task.
    """
    made = interactions.propose(section, columns)
    if made is None:
        return None
    source, items = made
    if items is None and not alone:
        # The task needs the texts of the items.
        return None
    try:
        rows, warnings = _load(source)
    except DataError:
        if alone:
            raise
        return None
    users, counts = inspect(rows), {split: len(them) for split, them in rows.items()}
    ranking = rank(users, task)
    return Survey(data, source, counts, users, ranking, warnings, items=items) if ranking else None


def _load(section: Section) -> tuple[dict[str, Dataset], list[str]]:
    """The splits of a source, and what it warns of."""
    fields = {key: value for key, value in section.items() if key != "name"}
    source = plugins.load("sources", section["name"])(**fields)
    source.check_installed()
    source = source.head()
    try:
        rows = {split: them for split, them in source.load().items() if len(them)}
    except DataError as error:
        if "Config name is missing" in str(error):
            raise DataError(f"{error} Name one: {fields['id']}:CONFIG") from None
        raise
    if not rows:
        raise DataError(f"data.source: there are no rows in {', '.join(map(str, fields.values()))}")
    return rows, source.warnings


def _train(rows: Mapping[str, Dataset]) -> str:
    """The split that is trained on: `train`, else one that is neither for validation nor for a test, else any."""
    return min(rows, key=lambda split: (split != "train", split in ("validation", "test")))


def _lacks_header(rows: Dataset) -> bool:
    """Whether the first line is a row: it holds a long text, a cell that stands in its column again, or a number.

    A number may be the name of a column as well: where the cells below it, or those below a word, are of another kind;
    where it is a year that occurs in no row; and where the names are 0, 1, 2, ..., as pandas writes them.
    """
    head = rows[:200]
    numbers = [name for name in head if _is_number(name)]
    words = [name for name in head if name not in numbers]
    if any(_is_above_numbers(name, head[name]) for name in words):
        return False
    if any(len(words_of(name)) > _HEADER_WORDS for name in words):
        return True
    # A name of a column may be that of a class as well: text, toxic.
    if any(name in head[name] for name in words) and not any(name.strip().lower() in _USUAL for name in words):
        return True
    if not numbers or numbers == [str(place) for place in range(len(head))]:
        return False
    if any(_share_of_numbers(head[name]) < 0.5 for name in numbers):
        return False
    return not all(_YEAR.fullmatch(name) and name not in head[name] for name in numbers)


def _is_above_numbers(name: str, column: Sequence[str | None]) -> bool:
    """Whether a word without digits stands above cells all of which begin with one: numbers, dates, times."""
    filled = [cell for cell in column if cell]
    is_word = not re.search(r"\d", name) and name.strip().lower() not in _MISSING
    return is_word and bool(filled) and all(re.match(r"[-+]?\.?\d", cell) for cell in filled)


def _is_number(cell: str) -> bool:
    return cell.replace(".", "").replace("-", "").isdigit()


def _share_of_numbers(column: Sequence[str | None]) -> float:
    filled = [cell for cell in column if cell]
    return sum(map(_is_number, filled)) / len(filled) if filled else 0.5


def _with_decimal(section: Section, columns: Sequence[Column]) -> Section:
    """The source with what stands before the decimals of its numbers, where some have a comma."""
    if section["name"] != "csv":
        return section
    # A comma before three digits says less than one before two.
    signs = [column.decimal for column in columns if column.decimal]
    return {**section, "decimal": min(signs)} if signs else section


def file_name(data: str) -> str:
    """What a recipe for some data is called: after the file or folder, after the folder of a file like train.csv."""
    from hftransfer.sources._split_names import split_of

    if data.startswith(SAMPLE):
        return data.removeprefix(SAMPLE)
    path = Path(data).expanduser()
    if not path.exists():
        return data.rpartition("/")[2].replace(":", "-")
    stem = path.resolve().name
    if path.is_file():
        stem = stem.partition(".")[0]
        stem = path.resolve().parent.name if split_of(stem) else stem
    return stem or "recipe"
