"""Rows of recommendation: lists of item ids, windows of them for training, rankings without items that are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hftransfer.core.arrow import read_column
from hftransfer.core.errors import DataError
from hftransfer.core.features import Cell, Feature
from hftransfer.tasks import IGNORED, EncodedRow, ModelBatch, Outputs

if TYPE_CHECKING:
    from datasets import Dataset

KEPT = 100
"""Items of a ranking that are kept."""


@dataclass(frozen=True)
class Items(Feature):
    """A list of item ids, or a text of them with commas between."""

    name: ClassVar[str] = "items"
    each_line: ClassVar[str] = "the id of an item a line"

    def cast(self, rows: Dataset, role: str, *, decode: bool) -> Dataset:
        from datasets import Features, List, Value

        if rows.features[role] in (Value("string"), Value("large_string")):
            features = Features(rows.features | {role: List(Value("string"))})
            return rows.map(lambda row: {role: split_ids(row[role])}, features=features)
        return self._cast(rows, role, List(Value("string")))

    def parse(self, text: str) -> list[str]:
        return split_ids(text)

    def argument(self, value: str) -> str:
        return super().argument(",".join(value.splitlines()))

    def is_empty(self, cell: Cell) -> bool:
        return not cell


def split_ids(text: str | None) -> list[str]:
    """The ids of a text with commas between."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def numbers_of(ids: Sequence[str], known: Mapping[str, int], role: str) -> list[int]:
    """The item numbers of ids.

    Raises:
        DataError: there is no such item.
    """
    for name in ids:
        if name not in known:
            near = [other for other in known if str(other).startswith(str(name)[:1])][:5]
            raise DataError(
                f"the {role} names the item '{name}', which is none of the {len(known)} of data.items"
                + (f"; others begin alike: {', '.join(near)}" if near else "")
            )
    return [known[name] for name in ids]


def check_users(splits: Mapping[str, Dataset]) -> None:
    """Refuse training rows that hold what a validation or test row of the same user asks for.

    Raises:
        DataError: there is one; the scores would be of what was learnt by heart.
    """
    if "user" not in splits["train"].column_names:
        return
    known: dict[str, set[str]] = {}
    for user, history, item in zip(
        *(read_column(splits["train"], it) for it in ("user", "history", "item")), strict=True
    ):
        known.setdefault(user, set()).update(history, [item])
    for split in ("validation", "test"):
        if "user" not in splits[split].column_names:
            continue
        for row, (user, item) in enumerate(
            zip(*(read_column(splits[split], it) for it in ("user", "item")), strict=True)
        ):
            if item in known.get(user, ()):
                raise DataError(
                    f"row {row} of split '{split}' asks for the item '{item}', which a training row of the user "
                    f"'{user}' holds; the source interactions holds items out by time"
                )


def windows(rows: Dataset, longest: int) -> Dataset:
    """The training rows cut into windows, in which every item but the first is asked for.

    Args:
        rows: Encoded rows: `history` and, of the same length, `next`, which ends in the item that is asked for.
        longest: Places of a window.
    """
    from datasets import Dataset

    parts = [part for row in zip(rows["history"][:], rows["next"][:], strict=True) for part in _cut(*row, longest)]
    return Dataset.from_dict({"history": [it[:-1] for it in parts], "next": [it[1:] for it in parts]})


def _cut(history: Sequence[int], following: Sequence[int], longest: int) -> Iterator[list[int]]:
    """From the end on; the last item of a window is the first of the next one, so that each is asked for once."""
    sequence = [*history, following[-1]]
    for end in range(len(sequence), 1, -longest):
        yield sequence[max(0, end - longest - 1) : end]


def pad(encoded: list[EncodedRow], longest: int) -> ModelBatch:
    """The last items of each row, padded on the right: `input_ids`, `attention_mask`, and `labels` of rows with `next`.

    All have the shape (rows, places of the longest).
    """
    import torch

    histories = [list(row["history"])[-longest:] for row in encoded]
    places = max(map(len, histories))

    def tensor(lists: list[list[int]], filler: int) -> torch.Tensor:
        return torch.tensor([[*numbers, *[filler] * (places - len(numbers))] for numbers in lists], dtype=torch.long)

    batch = {"input_ids": tensor(histories, 0), "attention_mask": tensor([[1] * len(it) for it in histories], 0)}
    if "next" in encoded[0]:
        batch["labels"] = tensor([list(row["next"])[-longest:] for row in encoded], IGNORED)
    return batch


def best(scores: np.ndarray, known: Sequence[Sequence[int]]) -> Outputs:
    """`ranking`, the numbers of the best items of each row, and their `scores`, both of shape (rows, 100 or fewer).

    Of equal scores the lower number is first. Where all but few items are known, numbers of -1 fill a row up.

    Args:
        scores: Of all items, shape (rows, items).
        known: The items of each row that are not ranked.
    """
    scores = scores.astype(np.float32)
    lowest = scores.min(axis=1, keepdims=True) - 1
    for row, numbers in enumerate(known):
        scores[row, list(numbers)] = -np.inf
    ranking = np.argsort(-scores, axis=1, kind="stable")[:, :KEPT]
    found = np.take_along_axis(scores, ranking, axis=1)
    allowed = found > -np.inf
    return {"scores": np.where(allowed, found, lowest), "ranking": np.where(allowed, ranking, -1)}


def counts(rows: Mapping[str, Any], numbers: Mapping[str, int]) -> list[int]:
    """How many training rows hold each item."""
    found = [0] * len(numbers)
    for history, item in zip(rows["history"], rows["item"], strict=True):
        for name in {*history, item}:
            if name in numbers:
                found[numbers[name]] += 1
    return found
