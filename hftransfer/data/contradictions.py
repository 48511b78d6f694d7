"""Training rows of equal content: how many repeat others, and how many of them contradict each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hftransfer.core.arrow import each
from hftransfer.core.data_facts import Contradictions
from hftransfer.core.features import Boxes, Label, Text, Words
from hftransfer.data.hashes import count_distinct, digest
from hftransfer.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset

    from hftransfer.data.hashes import Hashes

# Rows whose texts are compared, from the first on.
_COMPARED = 50_000
# Characters of a label that the record shows.
_SHOWN = 60
_NO_WORD = re.compile(r"[\W_]+")


def count_repeated(numbers: np.ndarray, hashes: Hashes) -> int:
    """How many rows, given by number, have the content of an earlier one."""
    return len(numbers) - count_distinct(hashes.take(numbers))


def find_contradictions(
    task: Task, rows: Dataset, hashes: Hashes, numbers: np.ndarray, split: str
) -> Contradictions | None:
    """Training rows of equal content and different labels, among the first 50,000.

    Texts are equal where they have the same letters and digits in the same order of words, in whatever case; images
    and recordings where they are the same bytes once decoded.

    Args:
        task: The task with its labels.
        rows: Training rows, their labels as they were read.
        hashes: The hash of the content of each row of the source's split.
        numbers: The row in the source's split that each of `rows` is.
        split: The source's split.
    """
    if task.target is None or not isinstance(task.target[1], Label | Boxes):
        return None
    if task.row_labels(rows.select(range(1))) is None:
        # Numbers, of which two for one content are noise.
        return None
    groups: dict[bytes, list[int]] = {}
    for row, content in enumerate(_contents(task, rows, hashes.take(numbers[:_COMPARED]).to_pylist())):
        groups.setdefault(content, []).append(row)
    copies = {content: places for content, places in groups.items() if len(places) > 1}
    chosen = [place for places in copies.values() for place in places]
    if not chosen:
        return None
    role = task.target[0]
    indexed = task.index_labels(rows.select(chosen))
    labels = dict(zip(chosen, map(repr, indexed[role][:]), strict=True))
    opposed = [places for places in copies.values() if len({labels[place] for place in places}) > 1]
    if not opposed:
        return None
    first = opposed[0][0]
    second = next(place for place in opposed[0] if labels[place] != labels[first])
    shown = task.references(indexed.select([chosen.index(first), chosen.index(second)]))
    return Contradictions(
        rows=sum(map(len, opposed)),
        split=split,
        example=(int(numbers[first]), int(numbers[second])),
        labels=(task.describe(shown[0])[:_SHOWN], task.describe(shown[1])[:_SHOWN]),
    )


def _contents(task: Task, rows: Dataset, hashes: list[bytes]) -> list[bytes]:
    """What is equal for rows of equal content, of as many rows as there are hashes."""
    roles = [role for role in task.inputs if role in rows.column_names]
    if not all(isinstance(task.inputs[role], Text | Words) for role in roles):
        return hashes
    texts = rows.select_columns(roles).select(range(len(hashes)))
    return [_content(tuple(row.values()), hashed) for row, hashed in zip(each(texts), hashes, strict=True)]


def _content(row: tuple[Any, ...], hashed: bytes) -> bytes:
    """A hash of the letters and digits of a row's texts; a row of signs alone is itself."""
    texts = [normalized(cell) for cell in row]
    return digest(["\0".join(texts).encode(errors="surrogatepass")]) if any(texts) else hashed


def normalized(cell: Any) -> str:
    """The letters and digits of a text or of words, small, with one space between what other signs part."""
    text = " ".join(cell) if isinstance(cell, list) else str(cell or "")
    return _NO_WORD.sub(" ", text.casefold()).strip()
