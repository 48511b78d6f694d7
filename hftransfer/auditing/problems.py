"""What an audit says of classes, groups and splits, in sentences."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hftransfer.auditing.audited_rows import PARTS, AuditedRows
from hftransfer.auditing.near_copies import Pair
from hftransfer.core.plugins import natural
from hftransfer.runner.data_warnings import classes_without_test_rows, contradictions

# Training rows of a class that tell little about it.
_FEW = 10
_NAMED = 8


def find_problems(rows: AuditedRows, copies: dict[str, int]) -> list[str]:
    """Copies across splits, contradictions, small classes, shared groups."""
    return [
        *_copies(rows, copies),
        *contradictions(rows.rows),
        *_small_classes(rows),
        *classes_without_test_rows(rows.rows),
        *_shared_groups(rows),
    ]


def count_copies(rows: AuditedRows, pairs: list[Pair]) -> dict[str, int]:
    """Parts of the two rows (`test-train`), or the part of both -> pairs of near copies."""
    places = [(rows.part(pair.first)[0], rows.part(pair.second)[0]) for pair in pairs]
    counts = Counter(first if first == second else f"{first}-{second}" for first, second in places)
    return dict(sorted(counts.items()))


def _copies(rows: AuditedRows, copies: dict[str, int]) -> list[str]:
    facts = rows.rows.facts
    sentences = []
    removed = {part: count for part, count in facts.duplicates_removed.items() if count}
    if removed:
        counts = ", ".join(f"{count} {part}" for part, count in removed.items())
        sentences.append(
            f"exact copies of rows of a split closer to the test split are left out already: {counts} rows"
        )
    across = sum(copies.get(f"{part}-train", 0) for part in ("test", "validation"))
    if across:
        sentences.append(
            f"{across} pairs of near copies have one row in train and the other in validation or test, whose scores "
            "are too good by what the model remembers: data.drop takes the training rows out"
        )
    return sentences


def _small_classes(rows: AuditedRows) -> list[str]:
    counts = rows.rows.facts.classes.get("train", {})
    small = sorted((name for name, count in counts.items() if count < _FEW), key=natural)
    if not small:
        return []
    named = ", ".join(f"{name} ({counts[name]})" for name in small[:_NAMED])
    return [
        f"{len(small)} of {len(counts)} classes have fewer than {_FEW} training rows: {named}"
        f"{', ...' if small[_NAMED:] else ''}: label more rows of them, or merge them with others (data.names)"
    ]


def _shared_groups(rows: AuditedRows) -> list[str]:
    """The groups that the training rows share with another part, by name."""
    if rows.groups is None:
        return []
    members: dict[str, Counter[Any]] = {part: Counter() for part in PARTS}
    for number, group in enumerate(rows.groups):
        if group is not None:
            members[rows.part(number)[0]][group] += 1
    sentences = []
    for part in ("test", "validation"):
        shared = sorted(members[part].keys() & members["train"].keys(), key=str)
        if shared:
            named = ", ".join(f"{group} ({members[part][group]} rows)" for group in shared[:_NAMED])
            sentences.append(
                f"{len(shared)} groups have rows in {part} and in train, so that the model has seen them: {named}"
                f"{', ...' if shared[_NAMED:] else ''} (data.splits.by_group)"
            )
    return sentences
