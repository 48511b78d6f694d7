"""The recipe for some data: a dozen commented lines, from a task, a checkpoint and a strategy that suit the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from hftransfer.core import plugins
from hftransfer.core.errors import DataError
from hftransfer.core.features import Label
from hftransfer.core.paths import is_file
from hftransfer.core.yaml_writer import dump_flow
from hftransfer.drafting.columns import Column
from hftransfer.drafting.proposal import Survey
from hftransfer.drafting.roles import Candidate
from hftransfer.tasks._label_kinds import has_several, separator_of

# Fewer training rows of a class than this are few: docs/how-to/choose-a-strategy.md.
_FEW = 50
# Training rows from which on so many epochs are enough.
_EPOCHS = ((50_000, 1), (10_000, 3), (2_000, 5), (200, 10), (0, 20))
_LARGE, _FIRST_RUN = 200_000, 50_000
# Not every network keeps its score in int8, and which does takes a search.
_EXPORT = {"export": {"format": "onnx", "quantization": "none"}}
_SHARES = {"validation": 0.1, "test": 0.2}
# Where the comments begin, and where a line is too long for one.
_COMMENT, _WIDTH = 52, 120


@dataclass(frozen=True)
class Draft:
    """What a recipe is written from; `text` is the recipe."""

    survey: Survey
    candidate: Candidate
    checkpoint: str
    strategy: str
    path: Path
    """The file that it is for."""
    on_error: str | None = None
    """Why rows are left out, in a sentence; None where none is."""
    exports: bool = True
    lacks_optimum: bool = False
    """Whether a package is missing that would export it."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of the task."""

    @property
    def text(self) -> str:
        """The recipe."""
        lines = [
            f"# {_on_one_line(self._title)}",
            f"#   hftransfer run {_on_one_line(quote(str(self.path)))}",
            *_lines({"task": self._task}, self._others),
            *_lines({"model": {"id": self.checkpoint}}, "a Hub id, a directory, an earlier run or a sample"),
            *self._data,
            *_lines({"strategy": self.strategy}, self._reason),
        ]
        if self.strategy not in ("linear_probe", "frozen"):
            epochs = next(epochs for rows, epochs in _EPOCHS if self._train >= rows)
            lines += _lines({"training": {"num_train_epochs": epochs}}, "any field of TrainingArguments")
        if self.exports:
            lines += _lines(_EXPORT, "auto: the best of int8 and others that keeps the score")
        elif self.lacks_optimum:
            lines += [f"# {line}" for line in _lines(_EXPORT, "once `hftransfer setup-optimum` has run")]
        return "".join(f"{line}\n" for line in lines)

    @property
    def suggested_fields(self) -> dict[str, Any]:
        """Fields of the task that suit the training rows."""
        names = {it.name: role for role, it in self.candidate.columns.items() if not it.parts and "." not in it.name}
        if self.survey.table is None or not names:
            return {}
        rows = self.survey.table.select_columns(list(names)).rename_columns(names)
        fields: dict[str, Any] = plugins.load("tasks", self.candidate.task).suggested_fields(rows)
        return fields

    @property
    def _task(self) -> Any:
        return {"name": self.candidate.task, **self.fields} if self.fields else self.candidate.task

    @property
    def _title(self) -> str:
        rows = ", ".join(f"{count:,} {split}" for split, count in self.survey.rows.items())
        return f"{self.candidate.task} of {self.survey.data}: {rows}. Written by `hftransfer new`."

    @property
    def _others(self) -> str:
        others = [it.task for it in self.survey.close if it.task != self.candidate.task]
        return f"or {', '.join(others)}: `hftransfer new --task NAME`" if others else "what the model has to find"

    @property
    def _data(self) -> list[str]:
        survey = self.survey
        lines = ["data:", *_lines({"source": survey.source}, "where the rows are", 2)]
        if self.candidate.mapping:
            lines += _lines({"columns": self.candidate.mapping}, self._unused or "role: column", 2)
        if survey.items:
            lines += _lines({"items": survey.items}, "the texts of the items", 2)
        splits, reason = split_sizes(survey, self.candidate)
        lines += _lines({"splits": splits}, reason, 2) if splits else []
        if self.on_error:
            lines += _lines({"on_error": "skip"}, "rows that cannot be used are left out and counted", 2)
        if survey.rows[survey.train] > _LARGE:
            lines += _lines({"max_rows": _FIRST_RUN}, "a random sample, for a first run", 2)
        return lines

    @property
    def _unused(self) -> str:
        used = {name for column in self.candidate.columns.values() for name in column.columns}
        unused = [it.name for it in self.survey.columns if it.name not in used and "." not in it.name]
        return f"not used: {', '.join(unused)}" if unused else ""

    @property
    def _train(self) -> int:
        return training_rows(self.survey, self.candidate)

    @property
    def _reason(self) -> str:
        few = rows_of_a_class(self.survey, self.candidate)
        others = [name for name in strategies(self.survey, self.candidate) if name != self.strategy]
        if few is not None and few < _FEW:
            return f"about {few} training rows a class; or {', '.join(others)}"
        return f"or {', '.join(others)}" if others else "`hftransfer list` shows all"


def _on_one_line(text: str) -> str:
    """A text without the line breaks that names of files and columns may have, which would end a comment."""
    return " ".join(text.split())


def _lines(section: Mapping[str, Any], comment: str, indent: int = 0) -> list[str]:
    """A key on one line with a comment behind it, or above it where the line is long."""
    ((key, value),), comment = section.items(), _on_one_line(comment)
    line = f"{' ' * indent}{key}: {dump_flow(value)}"
    if len(line) >= _COMMENT + 20 or len(line) + len(comment) > _WIDTH - 4:
        return [f"{' ' * indent}# {comment}"[:_WIDTH], line] if len(line) <= 4 * _WIDTH else [line]
    return [f"{line:<{_COMMENT}} # {comment}"[:_WIDTH]]


def split_sizes(survey: Survey, candidate: Candidate) -> tuple[dict[str, Any], str]:
    """The section `splits` where the source's own do not serve, and why; empty where they do."""
    sizes: dict[str, Any] = {}
    if survey.train != "train":
        sizes["train"] = survey.train
    hidden = hidden_splits(survey, candidate)
    for split in _SHARES:
        if split not in survey.rows or split in hidden or split == survey.train:
            sizes[split] = _SHARES[split]
    reason = f"'{hidden[0]}' of the source has no {candidate_target(candidate)}" if hidden else "of the training rows"
    return sizes, reason


def hidden_splits(survey: Survey, candidate: Candidate) -> list[str]:
    """The splits for validation and test that have no cells in a column that a role takes."""
    splits = [split for split in _SHARES if split in survey.rows and split != survey.train]
    tables = [it.values for it in candidate.columns.values() if it.values]
    return [
        split for split in splits if any(not any(it not in (None, "") for it in them.get(split, ())) for them in tables)
    ]


def candidate_target(candidate: Candidate) -> str:
    """The role that a model has to find."""
    target = plugins.load("tasks", candidate.task).target
    return target[0] if target else "labels"


def training_rows(survey: Survey, candidate: Candidate) -> int:
    """About how many rows are left to train on."""
    sizes, _ = split_sizes(survey, candidate)
    share = 1 - sum(size for size in sizes.values() if isinstance(size, float))
    return max(1, round(survey.rows[survey.train] * share))


def rows_of_a_class(survey: Survey, candidate: Candidate) -> int | None:
    """About how many training rows a class has; None where rows have no class or number each."""
    target = plugins.load("tasks", candidate.task).target
    column = candidate.columns.get(target[0]) if target and isinstance(target[1], Label) else None
    if column is None or column.content not in ("class", "flag", "number", "list"):
        return None
    # A regression needs some hundreds of rows for what a class needs.
    classes = column.distinct if column.content != "number" else 10
    if column.content == "list":
        names = {str(name) for cell in column.values.get("train", ()) for name in cell or ()}
        classes = len(column.parts) or len(names)
    return training_rows(survey, candidate) // max(1, classes)


def strategies(survey: Survey, candidate: Candidate) -> list[str]:
    """The strategies that suit the number of rows, the first one best; none that the task refuses."""
    refuses = plugins.load("tasks", candidate.task).refuses
    few = rows_of_a_class(survey, candidate)
    order = ["linear_probe", "lora", "full"] if few is not None and few < _FEW else ["full", "lora", "linear_probe"]
    return [name for name in [*order, "frozen"] if name not in refuses][:3]


def problems(survey: Survey, candidate: Candidate) -> list[str]:
    """What may be wrong with the data, a sentence each."""
    found = []
    if survey.source.get("header") is False:
        found.append("the first line of the table is read as a row: if it names the columns, remove data.source.header")
    if encoding := survey.source.get("encoding"):
        found.append(f"the file is not UTF-8 and is read as {encoding}: data.source.encoding names another encoding")
    found += _names_of_files(survey.source)
    for column in candidate.columns.values():
        if column.missing:
            found.append(f"column '{column.name}': {column.missing} of the cells looked at are empty")
        found += _unsure(column, survey.source.get("decimal"))
    target = candidate.columns.get(candidate_target(candidate))
    if target is not None and target.content in ("class", "flag"):
        found += _rare(target)
    found += [
        f"split '{split}' of the source has no {candidate_target(candidate)}: it is taken from the training rows"
        for split in hidden_splits(survey, candidate)
    ]
    return found


def _names_of_files(source: Mapping[str, Any]) -> list[str]:
    """Whether the names of several files of texts are classes."""
    if source["name"] != "text" or not isinstance(source["train"], list):
        return []
    if source.get("labels") == "file_name":
        return ["the names of the files are taken as classes: data.source.labels"]
    if "labels" in source:
        return []
    return ["if each file holds a class, `--task text-classification` takes the names of the files as classes"]


def _unsure(column: Column, decimal: str | None) -> list[str]:
    """How a number is read that may be a thousand times as large."""
    if not column.unsure or decimal is None:
        return []
    read, sign, other = ("thousands", ".", ",") if decimal == "." else ("decimals", ",", ".")
    return [
        f"column '{column.name}': the comma of {column.unsure} is read as one of {read} "
        f"(data.source.decimal: '{sign}'); if that is wrong, write '{other}'"
    ]


def refuse_lost_files(survey: Survey, candidate: Candidate) -> None:
    """Refuse paths of images and recordings that count from the folder of their table.

    Raises:
        DataError: the first one is there, and not in the working directory.
    """
    table = survey.source.get("train")
    for column in candidate.columns.values():
        names = [str(cell) for cell in column.values.get("train", ()) if cell][:1]
        if column.content not in ("image", "audio") or not names or not isinstance(table, str):
            continue
        folder, name = Path(table).parent, names[0]
        if not is_file(Path(name).expanduser()) and is_file(folder / name):
            raise DataError(
                f"column '{column.name}': '{name}' is in '{folder}', and paths count from the working directory: "
                f"`cd {folder}` first, or give '{folder}' a metadata.csv with a column file_name"
            )


def _rare(column: Column) -> list[str]:
    names = [str(cell) for cell in column.values.get("train", ()) if cell is not None]
    if separator_of(names) or has_several(names, ","):
        return []
    counts = Counter(names)
    name, count = min(counts.items(), key=lambda pair: pair[1], default=("", 0))
    if len(counts) < 2 or count >= min(5, counts.total() / len(counts) / 2):
        return []
    return [f"class '{name}' has {count} of the {counts.total()} training rows looked at"]


def summary(columns: Sequence[Column]) -> str:
    """The columns with what they hold."""
    return ", ".join(f"{it.name} ({it.description})" for it in columns if "." not in it.name)
