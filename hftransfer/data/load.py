"""From the rows of a source to three clean splits whose columns have the task's role names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from hftransfer.core.arrow import release
from hftransfer.core.data_facts import DataFacts
from hftransfer.core.errors import DataError
from hftransfer.core.features import Text, class_names
from hftransfer.data.clean import CleanRows, clean
from hftransfer.data.columns import Columns, all_features, check_columns, name_classes, to_roles
from hftransfer.data.contradictions import count_repeated, find_contradictions
from hftransfer.data.drop import Dropped, RowOrigins, drop_rows
from hftransfer.data.hashes import FINGERPRINT_VERSION, contained, fingerprint
from hftransfer.data.left_out import leave_out
from hftransfer.data.normal_form import with_normal_form
from hftransfer.data.parts import Loaded, SourceSplits
from hftransfer.data.spellings import spelling_warnings
from hftransfer.data.splits import (
    GROUP,
    Places,
    SplitOptions,
    balanced,
    draw_shots,
    remove_duplicates,
    split,
)
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset

    from hftransfer.data.hashes import Hashes


@dataclass(frozen=True)
class DataOptions:
    """How the rows of a source are used, as in a recipe's `data`."""

    columns: Columns = field(default_factory=dict)
    names: Sequence[str] = ()
    splits: SplitOptions = field(default_factory=SplitOptions)
    max_rows: int | None = None
    check_rows: int | None = None
    """So many rows of each split are read, at random, and no more: for a check."""
    shots: int | None = None
    unlabelled: str | None = None
    sampling: Literal["natural", "balanced"] = "natural"
    on_error: Literal["raise", "skip"] = "raise"
    leave_out: Sequence[str] = ()
    """Classes whose rows are in no split."""
    drop: str | None = None
    """A CSV of training rows that are left out."""
    decode: bool = True
    """Whether images are decoded, by which files are found that are not whole; if not, `encode` finds them."""


@dataclass(frozen=True)
class Rows:
    """The splits `train`, `validation`, `test`, the task with what they settle, and what is known of them."""

    task: Task
    splits: dict[str, Dataset]
    facts: DataFacts
    sizes: dict[str, str | int | float]
    """What `test` and `validation` are: splits of the source, or sizes of parts of its training rows."""
    left_out: Dataset | None = None
    """The test rows of the classes that are in no split, without labels."""
    warnings: list[str] = field(default_factory=list)
    """What was guessed or left out while the rows were read."""
    held_out: list[Hashes] = field(default_factory=list)
    """The contents of the validation and test rows."""
    sampled: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Split of the source of which `check` has read a sample -> rows that were read, and all of them."""
    origins: dict[str, RowOrigins] = field(default_factory=dict)
    """Split -> where its rows come from, before `data.sampling` repeats any."""

    @property
    def labelled(self) -> dict[str, Dataset]:
        """The splits without the rows that have no labels."""
        return {name: rows for name, rows in self.splits.items() if name != "unlabelled"}


def load_rows(task: Task, source: Mapping[str, Dataset] | SourceSplits, options: DataOptions, seed: int) -> Rows:
    """Rename, check and split the rows of a loaded source, remove duplicates from the training side, draw the shots.

    Raises:
        DataError: a column, split or label is not what it should be; a cell is empty, a file unreadable.
    """
    check_columns(task, options.columns)
    source = source if isinstance(source, SourceSplits) else SourceSplits(Loaded(source))
    read = _read(task, source, options, seed)
    sampled = _sampled(read, source) if options.check_rows else {}
    if options.splits.train in sampled:
        options = replace(options, splits=options.splits.within(*sampled[options.splits.train]))
    raw, hashes = ({name: getattr(it, field) for name, it in read.items()} for field in ("rows", "inputs"))
    _check_item_ids(task, raw)
    task = task.infer(raw[options.splits.train])
    places = split(task, options.splits, source.names, raw, seed)
    without_labels = _unlabelled_split(options)
    if without_labels:
        places["unlabelled"] = (without_labels, np.arange(len(raw[without_labels])))
    origins = {name: _origins(it, *source.numbers[name]) for name, it in read.items()}
    partial = options.check_rows is not None or options.max_rows is not None
    dropped = drop_rows(options.drop, places, origins, sampled=partial) if options.drop else Dropped()
    removed = remove_duplicates(places, hashes)
    left_out = leave_out(task, raw, places, options.leave_out) if options.leave_out else None
    splits = {name: raw[origin].select(rows) for name, (origin, rows) in places.items() if name != "unlabelled"}
    _refuse_empty(splits, removed)
    if options.shots is not None:
        splits["train"] = _draw_shots(task, splits["train"], options, places, hashes, seed)
    unlabelled = _unlabelled(task, raw, places)
    _refuse_empty(unlabelled, removed)
    task = task.fit(splits["train"])
    task = task.with_labels(task.find_labels(splits))
    classes = {name: _count_classes(task, rows) for name, rows in splits.items()}
    spellings = spelling_warnings(task, splits)
    origin, numbers = places["train"]
    contradictions = find_contradictions(task, splits["train"], hashes[origin], numbers, origin)
    if options.sampling == "balanced":
        splits["train"] = balanced(task, splits["train"])
    facts = DataFacts(
        fingerprint=_fingerprint(read, places),
        fingerprint_version=FINGERPRINT_VERSION,
        rows={name: len(rows) for name, rows in (splits | unlabelled).items()}
        | ({"out_of_domain": len(left_out)} if left_out else {}),
        duplicates_removed=removed,
        skipped={name: it.skipped for name, it in read.items()},
        labels=list(task.labels),
        classes=classes,
        repeated=count_repeated(numbers, hashes[origin]),
        contradictions=contradictions,
        dropped=dropped.reasons,
    )
    indexed = {name: task.index_labels(rows) for name, rows in splits.items()}
    held_out = [hashes[origin].take(rows) for name, (origin, rows) in places.items() if name in ("validation", "test")]
    sizes = options.splits.sizes(source.names)
    release(*raw.values())
    taken = {name: origins[origin].take(rows) for name, (origin, rows) in places.items()}
    warnings = [*task.guesses, *dropped.warnings, *spellings]
    return Rows(task, indexed | unlabelled, facts, sizes, left_out, warnings, held_out, sampled, taken)


def load_items(task: Task, source: Mapping[str, Dataset], columns: Columns) -> tuple[Task, str]:
    """The task with the rows of its second table (`data.items`), and a fingerprint of their content.

    They are the split `items` of the source where it has one, as samples do, else its training rows.

    Raises:
        DataError: the table lacks a column, or two of its rows have one id.
    """
    features = {"id": Text()} | task.items
    split = "items" if "items" in source else "train"
    table = to_roles(features, source[split], columns, split, owner=f"data.items of {task.name}")
    items = clean(task, features, table, "items", "raise")
    repeated = [name for name, count in Counter(items.rows["id"][:]).items() if count > 1]
    if repeated:
        raise DataError(f"data.items: the id '{repeated[0]}' stands in two rows")
    return task.with_items(items.rows), fingerprint([("items", items.inputs)])


def _check_item_ids(task: Task, rows: Mapping[str, Dataset]) -> None:
    """Refuse rows that refer to an item which the second table lacks."""
    if task.items_table is None:
        return
    known = set(task.items_table["id"][:])
    for origin, table in rows.items():
        for number, item in enumerate(table[task.item_role][:]):
            if item not in known:
                raise DataError(f"row {number} of split '{origin}' names the item '{item}', which data.items lacks")


def _unlabelled_split(options: DataOptions) -> str | None:
    """The split of the source whose rows are used without labels."""
    return options.unlabelled if options.unlabelled != "rest" else None


def _read(task: Task, source: SourceSplits, options: DataOptions, seed: int) -> dict[str, CleanRows]:
    """Every split of the source that is used: renamed, cast, checked row by row."""
    without_labels = _unlabelled_split(options)
    wanted = [options.splits.train, *options.splits.named(source.names).values(), without_labels]
    read = {}
    for name in (name for name in wanted if name):
        features = all_features(task)
        if name == without_labels:
            features = {role: it for role, it in features.items() if role not in (task.target_role, GROUP)}
        bounds = [bound for bound in (options.max_rows, options.check_rows) if bound is not None]
        given = source.sample(name, min(bounds, default=None), seed, fewer=options.check_rows is not None)
        rows = name_classes(task, to_roles(features, given, options.columns, name, owner=task.name), options.names)
        for role in (task.target_role, GROUP):
            rows = with_normal_form(rows, role) if role in rows.column_names else rows
        types = all_features(task)
        if not options.decode:
            types = {role: feature.without_decoding() for role, feature in types.items()}
        read[name] = clean(task, types, rows, name, options.on_error)
    return read


def _sampled(read: Mapping[str, CleanRows], source: SourceSplits) -> dict[str, tuple[int, int]]:
    """Split of the source of which not all rows were read -> how many were, of how many."""
    return {name: (len(read[name].rows) + read[name].skipped, total) for name, total in source.totals.items()}


def _origins(rows: CleanRows, split: str, numbers: np.ndarray) -> RowOrigins:
    """Where the usable rows of a split of the source come from; `numbers` are of all rows that were read."""
    return RowOrigins(split, numbers[rows.numbers], rows.inputs)


def _draw_shots(
    task: Task, rows: Dataset, options: DataOptions, places: Places, hashes: Mapping[str, Hashes], seed: int
) -> Dataset:
    """So many training rows of each class; the rest may be used without labels."""
    assert options.shots is not None
    chosen = draw_shots(task, rows, options.shots, seed)
    origin, numbers = places["train"]
    places["train"] = (origin, numbers[chosen])
    if options.unlabelled == "rest":
        labelled = contained(hashes[origin].take(numbers), [hashes[origin].take(numbers[chosen])])
        places["unlabelled"] = (origin, numbers[~labelled])
    return rows.select(chosen)


def _fingerprint(read: Mapping[str, CleanRows], places: Places) -> str:
    """SHA-256 over the content and the labels of all splits."""
    return fingerprint(
        (name, hashes.take(rows))
        for name, (origin, rows) in sorted(places.items())
        for hashes in (read[origin].inputs, read[origin].targets)
    )


def _refuse_empty(splits: Mapping[str, Dataset], removed: Mapping[str, int]) -> None:
    for name, rows in splits.items():
        if not len(rows):
            raise DataError(f"split '{name}' is empty" + (" once duplicates are removed" if removed.get(name) else ""))


def _unlabelled(task: Task, raw: Mapping[str, Dataset], places: Places) -> dict[str, Dataset]:
    """The split `unlabelled`, if there is one, without the columns that a model has to find."""
    if "unlabelled" not in places:
        return {}
    origin, numbers = places["unlabelled"]
    rows = raw[origin].select(numbers)
    inputs = [role for role in raw[places["train"][0]].column_names if role not in (task.target_role, GROUP)]
    if missing := sorted(set(inputs) - set(rows.column_names)):
        raise DataError(f"split '{origin}' has no column for '{missing[0]}', which the training rows have")
    return {"unlabelled": rows.select_columns(inputs)}


def _count_classes(task: Task, rows: Dataset) -> dict[str, int]:
    """Class -> rows, where each row has one."""
    classes = task.strata(rows)
    if classes is None or task.target_role is None:
        return {}
    names = class_names(rows.features.get(task.target_role))
    counts = sorted(Counter(classes).items(), key=lambda pair: str(pair[0]))
    return {str(names[value] if names and isinstance(value, int) else value): count for value, count in counts}
