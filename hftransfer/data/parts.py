"""The rows of a source that are used: whole splits, slices of them (`train[:1000]`), samples by the seed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest

if TYPE_CHECKING:
    from datasets import Dataset

_SLICE = re.compile(r"(?P<split>.+)\[(?P<start>\d*):(?P<stop>\d*)\]")

_PERCENTAGE = re.compile(r"(?P<number>\d+(\.\d+)?) ?%")


class Source(Protocol):
    """What is asked of a source (`hftransfer/sources/`)."""

    def load(self) -> dict[str, Dataset]:
        """Split -> rows."""

    def count(self) -> dict[str, int] | None:
        """Split -> its rows, where `take` serves."""

    def take(self, split: str, numbers: np.ndarray) -> Dataset | None:
        """Some rows of a split."""

    def stream(self, split: str) -> Iterator[Dataset]:
        """The rows of a split."""


class Loaded:
    """Splits that are there."""

    def __init__(self, splits: Mapping[str, Dataset]) -> None:
        """The splits."""
        self._splits = dict(splits)

    def load(self) -> dict[str, Dataset]:
        """The splits."""
        return self._splits

    def count(self) -> None:
        """Nothing, since no split has to be read."""

    def take(self, split: str, numbers: np.ndarray) -> Dataset | None:
        """The rows of these numbers."""
        return self._splits[split].select(numbers)

    def stream(self, split: str) -> Iterator[Dataset]:
        """All rows at once."""
        yield self._splits[split]


class SourceSplits:
    """The splits of a source and their slices; only what is asked for is read, where the source can do that."""

    def __init__(self, source: Source) -> None:
        """Read nothing yet."""
        self._source = source
        self._counts = source.count()
        self._loaded: dict[str, Dataset] | None = None
        self.totals: dict[str, int] = {}
        """Split or slice of which `sample` has left out rows -> how many it has."""
        self.numbers: dict[str, tuple[str, np.ndarray]] = {}
        """Split or slice that `sample` has read -> the split, and the numbers there of the rows."""

    @property
    def names(self) -> list[str]:
        """The splits."""
        return [*(self._load() if self._counts is None else self._counts)]

    def sample(self, name: str, most: int | None, seed: int, *, fewer: bool = False) -> Dataset:
        """The rows of a split or slice, or a sample of them by the seed, in their order; `fewer`: may be smaller.

        Raises:
            DataError: there is no such split, or the slice is empty.
        """
        split, part = _parse(name)
        if split not in self.names:
            raise DataError(f"the source has no split '{split}'; {_share_of(split) or nearest(split, self.names)}")
        count = len(self._load()[split]) if self._counts is None else self._counts[split]
        places = np.arange(count)[part]
        if not len(places):
            raise DataError(f"'{name}' has no rows: the source's split '{split}' has {count}")
        if most is not None and most < len(places):
            self.totals[name] = len(places)
            places = places[np.sort(np.random.default_rng(seed).permutation(len(places))[:most])]
        rows, places = self._take(split, places, whole=len(places) == count and name == split, fewer=fewer)
        self.numbers[name] = (split, places)
        return rows

    def _take(self, split: str, places: np.ndarray, *, whole: bool, fewer: bool) -> tuple[Dataset, np.ndarray]:
        """Rows of a split and their numbers."""
        if whole:
            return self._load()[split], places
        while self._loaded is None and self._counts is not None:
            if (rows := self._source.take(split, places)) is not None:
                return rows, places
            if not fewer or len(places) == 1:
                break
            places = places[::2]
        return self._load()[split].select(places), places

    def _load(self) -> dict[str, Dataset]:
        self._loaded = self._loaded or self._source.load()
        return self._loaded


def _share_of(name: str) -> str:
    """How a percentage is written, as a sentence; empty for any other name."""
    match = _PERCENTAGE.fullmatch(name)
    share = float(match["number"]) / 100 if match else 0.0
    written = "a part of the training rows (data.splits.test, data.splits.validation) is written as a fraction"
    return f"{written}: {share:.6g}" if 0 < share < 1 else ""


def _parse(name: str) -> tuple[str, slice]:
    """The split and the part of it that `train[10:1000]` names."""
    match = _SLICE.fullmatch(name)
    if match is None:
        return name, slice(None)
    start, stop = (int(match[bound]) if match[bound] else None for bound in ("start", "stop"))
    return match["split"], slice(start, stop)
