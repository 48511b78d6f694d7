"""Which task some columns are for: each role of each task is matched with a column, and the best match wins.

A match counts by role: how well the type of the cells fits, and the name of the column. An optional role counts less,
and needs the name. What a task says of the rows themselves (`likeness`) comes on top.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from hftransfer.core import plugins
from hftransfer.core.features import Audio, Boxes, Feature, Image, Json, Label, Mask, Text, Words
from hftransfer.drafting.columns import Column, Content
from hftransfer.drafting.role_names import is_title_of, likeness, words_of

# Feature type, subclasses first -> what its column may hold, with how well it fits. Less than 0.5 needs a fitting name.
_FITS: tuple[tuple[type[Feature], dict[Content, float]], ...] = (
    (Mask, {"image": 0.4}),
    (Image, {"image": 1.0}),
    (Audio, {"audio": 1.0}),
    (Words, {"list": 1.0}),
    (Boxes, {"boxes": 1.0}),
    (Label, {"class": 1.0, "flag": 0.95, "list": 0.9, "number": 0.85, "text": 0.1}),
    (Json, {"mapping": 0.4, "list": 0.1}),
    (Text, {"text": 1.0, "class": 0.4, "number": 0.2, "date": 0.2, "id": 0.1, "flag": 0.1}),
)
# Of a type that a task brings along, any column of a fitting name.
_ANY: dict[Content, float] = dict.fromkeys(("text", "class", "list", "number", "id"), 0.4)
_NEEDS_NAME = 0.5
# How well the name of a text fits that may be a class by its cells.
_TEXT = 0.9
# The same of a column that is a label by its name.
_LABEL = 0.7
_OPTIONAL = 0.8
_UNUSED, _UNUSED_CLASS, _UNUSED_LABEL = 0.15, 0.25, 0.4
# How well a text fits that a model is to write, and that is not called so.
_UNNAMED_TEXT = 0.6
# Columns of each role that are tried.
_TRIED = 4
# Two tasks whose points differ by less are a question.
CLOSE = 0.35


@dataclass(frozen=True)
class Candidate:
    """A task, and the columns of its roles."""

    task: str
    columns: dict[str, Column]
    points: float
    alternatives: dict[str, list[Column]] = field(default_factory=dict)
    """Role -> other columns that may hold it, the likeliest first."""

    @property
    def mapping(self) -> dict[str, str | list[str]]:
        """Role -> column, as `data.columns` of a recipe; without those of the role's own name."""
        names = {role: list(it.parts) or it.name for role, it in self.columns.items()}
        return {role: name for role, name in names.items() if name != role}


def rank(columns: Sequence[Column], only: str | None = None) -> list[Candidate]:
    """The tasks that the columns fit, the best first; one task alone with `only`."""
    columns = _numbered(columns)
    wide = [*columns, *_joined(columns)]
    found = [_match(name, columns, wide) for name in ([only] if only else plugins.names("tasks"))]
    return sorted((it for it in found if it and (only or it.points > 0)), key=lambda it: -it.points)


def _numbered(columns: Sequence[Column]) -> list[Column]:
    """The columns, two texts that differ by a number alone as the texts of a pair: `#1 String`, `#2 String`."""
    stems: dict[str, list[Column]] = {}
    for column in columns:
        if column.content == "text" and (set(words_of(column.name)) & {"1", "2", "a", "b"}):
            stem = " ".join(word for word in words_of(column.name) if word not in ("1", "2", "a", "b"))
            stems.setdefault(stem, []).append(column)
    aliases = {it.name: f"text{n}" for pair in stems.values() if len(pair) == 2 for n, it in enumerate(pair, 1)}
    return [replace(column, alias=aliases.get(column.name, "")) for column in columns]


def _joined(columns: Sequence[Column]) -> Iterator[Column]:
    """Several columns as one: a title with its text, several labels of 0 and 1."""
    texts = [column for column in columns if column.content == "text"]
    for first, second in product(texts, texts):
        if is_title_of(first.name, second.name):
            values = {
                split: [f"{a}\n{b}" for a, b in zip(them, second.values.get(split, them), strict=False)]
                for split, them in first.values.items()
            }
            parts = (first.name, second.name)
            yield Column(" + ".join(parts), "text", values, parts, first.words + second.words, second.distinct)
    flags = [column for column in columns if column.content == "flag"]
    if len(flags) > 1:
        names = tuple(column.name for column in flags)
        yield Column(" + ".join(names), "list", {}, names, missing=sum(column.missing for column in flags))


def _match(name: str, columns: Sequence[Column], wide: Sequence[Column]) -> Candidate | None:
    """A task with the best columns for its roles; None where one of them has none."""
    task = plugins.load("tasks", name)
    roles: dict[str, Feature] = task.inputs | (dict([task.target]) if task.target else {})
    options = {role: _options(role, feature, wide, role not in task.inputs) for role, feature in roles.items()}
    required = [role for role, feature in roles.items() if not feature.optional]
    if not all(options[role] for role in required) or not any(options[role] for role in task.inputs):
        return None
    tried = [[*options[role][:_TRIED], *([None] if roles[role].optional else [])] for role in roles]
    best: Candidate | None = None
    for chosen in product(*tried):
        pairs = {role: pair for role, pair in zip(roles, chosen, strict=True) if pair is not None}
        used = [part for column, _ in pairs.values() for part in column.columns]
        if len(set(used)) < len(used) or not set(pairs) & set(task.inputs):
            continue
        points = sum(value * (_OPTIONAL if roles[role].optional else 1) for role, (_, value) in pairs.items())
        points -= sum(_loss(column) for column in columns if not _is_used(column, used))
        # Rounded, so that of two ways which are as good the order of the columns decides.
        points = round(points, 6)
        if best is None or points > best.points:
            best = Candidate(name, {role: column for role, (column, _) in pairs.items()}, points)
    return _with_likeness(best, task, options) if best else None


def _loss(column: Column) -> float:
    """What it speaks against a task that it has no use for a column."""
    if column.content not in ("class", "flag", "list"):
        return _UNUSED if column.informs else 0.0
    return _UNUSED_LABEL if likeness("label", column.name) > _LABEL else _UNUSED_CLASS


def _is_used(column: Column, used: Sequence[str]) -> bool:
    """Whether a column, one of its parts, or that which it is a part of has a role."""
    return any(column.name == name or f"{name}.".startswith(f"{column.name}.") for name in used)


def _with_likeness(best: Candidate, task: type, options: Mapping[str, list[tuple[Column, float]]]) -> Candidate:
    names = {role: column.name for role, column in best.columns.items()}
    splits = dict.fromkeys(split for column in best.columns.values() for split in column.values)
    values = {
        split: {role: it.values[split] for role, it in best.columns.items() if split in it.values} for split in splits
    }
    points = best.points + task.likeness(names, values)  # type: ignore[attr-defined]
    others = {
        role: [column for column, _ in options[role] if column not in best.columns.values()] for role in best.columns
    }
    return Candidate(best.task, best.columns, points, others)


def _options(role: str, feature: Feature, columns: Sequence[Column], is_target: bool) -> list[tuple[Column, float]]:
    """The columns that may hold a role, each with its points, the best first."""
    pairs = [(column, _points(role, feature, column, is_target)) for column in columns]
    return sorted([(column, points) for column, points in pairs if points > 0], key=lambda pair: -pair[1])


def _points(role: str, feature: Feature, column: Column, is_target: bool) -> float:
    """How well a column fits a role; 0 where it does not."""
    fits = next((table for kind, table in _FITS if isinstance(feature, kind)), _ANY)
    fit = fits.get(column.content, 0.0)
    if not fit or (column.parts and not feature.from_several_columns):
        return 0.0
    if column.parts:
        # A title and a text may also be the two sides of a pair; only the main text of a task is made of both.
        named = max(likeness(role, part) for part in column.parts)
        return fit + named + 0.25 if role == "text" or column.content == "list" else 0.0
    named = max(likeness(role, name) for name in (column.name, column.alias))
    if isinstance(feature, Text) and column.content not in ("text", "class") and named < _TEXT:
        return 0.0
    if isinstance(feature, Text) and column.content == "class" and named > _TEXT:
        # Few sentences, each many times: commands, prompts.
        fit = 0.8
    if is_target and isinstance(feature, Text) and not named:
        fit = min(fit, _UNNAMED_TEXT)
    if not named and (feature.optional or fit < _NEEDS_NAME):
        return 0.0
    if isinstance(feature, Label) and not named and words_of(column.name)[-1:] in (["id"], ["ids"], ["no"]):
        fit = 0.3
    # Of columns that fit alike, the longer text, and the fewer classes.
    tie = min(column.words, 50) / 1000 if isinstance(feature, Text) else -min(column.distinct, 100) / 2000
    return fit + named + tie
