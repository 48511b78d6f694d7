"""From the rows of a source to three clean splits whose columns have the task's role names."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hftransfer.core.data_facts import DataFacts
from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature, Text, class_names, unnamed_class
from hftransfer.core.plugins import nearest
from hftransfer.core.progress import Progress
from hftransfer.data.columns import Columns, all_features, check_columns, feature_of, name_classes, to_roles
from hftransfer.data.contradictions import count_repeated, find_contradictions
from hftransfer.data.left_out import leave_out
from hftransfer.data.splits import (
    GROUP,
    Places,
    SplitOptions,
    balanced,
    draw_shots,
    remove_duplicates,
    sample_rows,
    split,
)
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset

_ELSEWHERE = "data.splits can name another split, or a part of the training rows"


@dataclass(frozen=True)
class DataOptions:
    """How the rows of a source are used, as in a recipe's `data`."""

    columns: Columns = field(default_factory=dict)
    names: Sequence[str] = ()
    splits: SplitOptions = field(default_factory=SplitOptions)
    max_rows: int | None = None
    shots: int | None = None
    unlabelled: str | None = None
    sampling: Literal["natural", "balanced"] = "natural"
    on_error: Literal["raise", "skip"] = "raise"
    leave_out: Sequence[str] = ()
    """Classes whose rows are in no split."""
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

    @property
    def labelled(self) -> dict[str, Dataset]:
        """The splits without the rows that have no labels."""
        return {name: rows for name, rows in self.splits.items() if name != "unlabelled"}


@dataclass(frozen=True)
class _Raw:
    """The clean rows of each split of the source that is used."""

    rows: dict[str, Dataset]
    hashes: dict[str, list[str]]
    """Split of the source -> the hash of each row's inputs."""
    skipped: dict[str, int]


def load_rows(task: Task, source: Mapping[str, Dataset], options: DataOptions, seed: int) -> Rows:
    """Rename, check and split the rows of a loaded source, remove duplicates from the training side, draw the shots.

    Raises:
        DataError: a column, split or label is not what it should be; a cell is empty, a file unreadable.
    """
    check_columns(task, options.columns)
    raw = _read(task, source, options, seed)
    _check_item_ids(task, raw.rows)
    task = task.infer(raw.rows[options.splits.train])
    places = split(task, options.splits, source, raw.rows, seed)
    without_labels = _unlabelled_split(options)
    if without_labels:
        places["unlabelled"] = (without_labels, list(range(len(raw.rows[without_labels]))))
    removed = remove_duplicates(places, raw.hashes)
    left_out = leave_out(task, raw.rows, places, options.leave_out) if options.leave_out else None
    splits = {name: raw.rows[origin].select(rows) for name, (origin, rows) in places.items() if name != "unlabelled"}
    _refuse_empty(splits, removed)
    if options.shots is not None:
        splits["train"] = _draw_shots(task, splits["train"], options, places, raw.hashes, seed)
    unlabelled = _unlabelled(task, raw.rows, places)
    _refuse_empty(unlabelled, removed)
    task = task.fit(splits["train"])
    task = task.with_labels(task.find_labels(splits))
    classes = {name: _count_classes(task, rows) for name, rows in splits.items()}
    origin, numbers = places["train"]
    contradictions = find_contradictions(task, splits["train"], raw.hashes[origin], numbers, origin)
    if options.sampling == "balanced":
        splits["train"] = balanced(task, splits["train"])
    facts = DataFacts(
        fingerprint=_fingerprint(task, places, raw.hashes, splits),
        rows={name: len(rows) for name, rows in (splits | unlabelled).items()}
        | ({"out_of_domain": len(left_out)} if left_out else {}),
        duplicates_removed=removed,
        skipped=raw.skipped,
        labels=list(task.labels),
        classes=classes,
        repeated=count_repeated(numbers, raw.hashes[origin]),
        contradictions=contradictions,
    )
    indexed = {name: task.index_labels(rows) for name, rows in splits.items()}
    return Rows(task, indexed | unlabelled, facts, options.splits.sizes(source), left_out)


def load_items(task: Task, source: Mapping[str, Dataset], columns: Columns) -> tuple[Task, str]:
    """The task with the rows of its second table (`data.items`), and a fingerprint of their content.

    Raises:
        DataError: the table lacks a column, or two of its rows have one id.
    """
    features = {"id": Text()} | task.items
    table = to_roles(features, source["train"], columns, "train", owner=f"data.items of {task.name}")
    table, hashes, _ = _clean(task, features, table, "items", "raise")
    repeated = [name for name, count in Counter(table["id"][:]).items() if count > 1]
    if repeated:
        raise DataError(f"data.items: the id '{repeated[0]}' stands in two rows")
    return task.with_items(table), hashlib.sha256(repr(hashes).encode()).hexdigest()


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


def _read(task: Task, source: Mapping[str, Dataset], options: DataOptions, seed: int) -> _Raw:
    """Every split of the source that is used: renamed, cast, checked row by row."""
    without_labels = _unlabelled_split(options)
    wanted = [options.splits.train, *options.splits.named(source).values(), without_labels]
    raw = _Raw({}, {}, {})
    for name in (name for name in wanted if name):
        if name not in source:
            raise DataError(f"the source has no split '{name}'; {nearest(name, source)}")
        features = all_features(task)
        if name == without_labels:
            features = {role: it for role, it in features.items() if role not in (task.target_role, GROUP)}
        given = sample_rows(source[name], options.max_rows, seed)
        rows = name_classes(task, to_roles(features, given, options.columns, name, owner=task.name), options.names)
        types = all_features(task)
        if not options.decode:
            types = {role: feature.without_decoding() for role, feature in types.items()}
        raw.rows[name], raw.hashes[name], raw.skipped[name] = _clean(task, types, rows, name, options.on_error)
    return raw


def _draw_shots(
    task: Task, rows: Dataset, options: DataOptions, places: Places, hashes: Mapping[str, list[str]], seed: int
) -> Dataset:
    """So many training rows of each class; the rest may be used without labels."""
    assert options.shots is not None
    chosen = draw_shots(task, rows, options.shots, seed)
    origin, numbers = places["train"]
    places["train"] = (origin, [numbers[i] for i in chosen])
    if options.unlabelled == "rest":
        labelled = {hashes[origin][row] for row in places["train"][1]}
        places["unlabelled"] = (origin, [row for row in numbers if hashes[origin][row] not in labelled])
    return rows.select(chosen)


def _fingerprint(task: Task, places: Places, hashes: Mapping[str, list[str]], splits: Mapping[str, Dataset]) -> str:
    """SHA-256 over the content and the labels of all splits."""
    content = [(name, hashes[origin][row]) for name, (origin, rows) in sorted(places.items()) for row in rows]
    role = task.target_role
    targets = [str(rows[role][:]) for _, rows in sorted(splits.items()) if role in rows.column_names]
    return hashlib.sha256(repr((content, targets)).encode()).hexdigest()


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


def _clean(
    task: Task, features: Mapping[str, Feature], rows: Dataset, split: str, on_error: str
) -> tuple[Dataset, list[str], int]:
    """Readable rows, the hash of each one's inputs, and how many were left out."""
    for role in rows.column_names:
        rows = feature_of(features, role).cast(rows, role, decode=False)
    good: list[int] = []
    hashes: list[str] = []
    bad: list[tuple[int, str]] = []
    types = rows.features
    numbered = enumerate(Progress(_each(rows), total=len(rows), desc=f"reading {split}", unit="row", leave=False))
    for number, row in numbered:
        try:
            hashes.append(_hash_inputs(task, features, row, types))
            good.append(number)
        except DataError as error:
            bad.append((number, str(error)))
    if bad and on_error == "raise":
        raise DataError(
            f"{len(bad)} of {len(rows)} rows of split '{split}' cannot be used, first row {bad[0][0]}: {bad[0][1]} "
            f"({_ELSEWHERE if not good and split != 'train' else 'data.on_error: skip leaves such rows out'})"
        )
    if not good:
        raise DataError(f"split '{split}' is empty" + (f": {bad[0][1]} ({_ELSEWHERE})" if bad else ""))
    for role in rows.column_names:
        rows = feature_of(features, role).cast(rows, role, decode=True)
    return rows.select(good), hashes, len(bad)


def _each(rows: Dataset) -> Iterator[dict[str, Any]]:
    """The rows, of which `datasets` reads several at once in a tenth of the time."""
    for batch in rows.iter(batch_size=64):
        yield from (dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True))


def _hash_inputs(task: Task, features: Mapping[str, Feature], row: dict[str, Any], types: Mapping[str, Any]) -> str:
    """The hash of a row's inputs.

    Raises:
        DataError: a cell cannot be read, or the task cannot use the row.
    """
    digest = hashlib.sha256()
    values = {}
    for role, cell in row.items():
        feature = feature_of(features, role)
        if feature.is_empty(cell) and (role in task.may_be_empty or role == GROUP):
            continue
        is_target = role == task.target_role
        if is_target and not feature.optional and (unknown := unnamed_class(types[role], cell)) is not None:
            raise DataError(f"the {role} {unknown} is none of the classes that the data set names")
        values[role], content = feature.read(role, cell)
        if not is_target and role != GROUP:
            # Without role and length, ("part 11", "21") would be ("part 1", "121").
            digest.update(f"{role}:{len(content)}:".encode() + content)
    if features.keys() >= task.inputs.keys() and (reason := task.check_row(values)):
        raise DataError(reason)
    return digest.hexdigest()


def _count_classes(task: Task, rows: Dataset) -> dict[str, int]:
    """Class -> rows, where each row has one."""
    classes = task.strata(rows)
    if classes is None or task.target_role is None:
        return {}
    names = class_names(rows.features[task.target_role])
    counts = sorted(Counter(classes).items(), key=lambda pair: str(pair[0]))
    return {str(names[value] if names else value): count for value, count in counts}
