"""Resamples of rows for the bootstrap, as counts of distinct rows: metrics look once at rows that are alike."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Rows of all resamples in memory together, some 20 bytes each.
_SAMPLED_AT_ONCE = 2**22
# From so many rows on, where at most one in eight is distinct, it costs less to sample how often each distinct row
# occurs. With fewer rows the resamples of a variant do not depend on which other variants there are.
_MANY_ROWS = 2**14


@dataclass(frozen=True)
class DistinctRows:
    """The rows of a split, of which those that all variants answer alike are one."""

    first: np.ndarray | slice
    """Where each distinct row occurs first."""
    number: np.ndarray
    """For every row, which of the distinct ones it is."""
    sizes: np.ndarray
    """How often each distinct row occurs."""
    units: Sequence[Hashable] | None = None
    """The unit of every row, where whole units are sampled."""

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray], units: Sequence[Hashable] | None = None) -> DistinctRows:
        """Rows of equal class numbers in all arrays are one; rows of anything else, or of units, are each their own."""
        count = len(arrays[0])
        if units is not None or any(array.ndim != 1 or array.dtype.kind not in "iu" for array in arrays):
            return cls(slice(None), np.arange(count), np.ones(count), units)
        number = np.zeros(count, dtype=int)
        for array in {id(array): array for array in arrays}.values():
            _, classes = np.unique(array, return_inverse=True)
            pairs = number * (classes.max() + 1) + classes
            _, first, number, sizes = np.unique(pairs, return_index=True, return_inverse=True, return_counts=True)
        return cls(first, number, sizes.astype(float))

    def resamples(self, number: int, seed: int) -> Iterator[np.ndarray]:
        """How often each distinct row is in each of so many resamples, shape (some, distinct rows), a few at a time.

        Rows are sampled with replacement, as many as there are; with `units` whole units are.
        """
        rng, most = np.random.default_rng(seed), max(1, _SAMPLED_AT_ONCE // len(self.number))
        for done in range(0, number, most):
            yield self._sample(rng, min(most, number - done)).astype(float)

    @cached_property
    def _unit_of(self) -> np.ndarray:
        """The number of the unit of every row, shape (rows,)."""
        numbers: dict[Hashable, int] = {}
        return np.array([numbers.setdefault(unit, len(numbers)) for unit in self.units or ()])

    def _sample(self, rng: np.random.Generator, resamples: int) -> np.ndarray:
        rows, distinct = len(self.number), len(self.sizes)
        if self.units is not None:
            return _counts(rng, resamples, np.arange(self._unit_of.max() + 1))[:, self._unit_of]
        if rows >= max(_MANY_ROWS, 8 * distinct):
            return rng.multinomial(rows, self.sizes / rows, resamples)
        return _counts(rng, resamples, self.number)


def _counts(rng: np.random.Generator, resamples: int, number: np.ndarray) -> np.ndarray:
    """How often each number is in resamples of these numbers."""
    # 32 bits: the same samples as of 64 bits, in half of the time.
    samples = rng.integers(0, len(number), (resamples, len(number)), dtype=np.uint32)
    return np.stack([np.bincount(number[sample], minlength=number.max() + 1) for sample in samples])
