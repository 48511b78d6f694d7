"""Pairs of rows that are nearly the same: candidates by features and by content, each of which the content confirms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from hftransfer.auditing.neighbours import nearest, unit_length
from hftransfer.core.progress import Progress

# The nearest rows by features that are compared.
_NEIGHBOURS = 5


class Contents(Protocol):
    """What rows hold, in a form in which two of them can be compared."""

    def candidates(self) -> Iterable[tuple[int, int]]:
        """Pairs that may be near copies, by the content alone."""

    def similarity(self, first: int, second: int, distance: float | None) -> float | None:
        """How alike two rows are, 1 where they are equal; None where they are no near copies.

        `distance` is that of their features, 1 for two rows at random; None where there are no features.
        """


class Pair(NamedTuple):
    """Two rows that are nearly the same, the one with the lower number first."""

    first: int
    second: int
    similarity: float


def find_pairs(contents: Contents, features: np.ndarray | None) -> list[Pair]:
    """The pairs of near copies, the most alike first.

    Features find what the content hides (a text in other words at its beginning), the content what features do not see
    (the end of a text that is truncated); that two rows are near copies, the content alone says.

    Args:
        contents: of the rows.
        features: of the rows, shape (rows, size); None where there are none.
    """
    found = {_ordered(*pair) for pair in contents.candidates()}
    if features is not None:
        found.update(_neighbours(features))
    pairs = []
    distance = _distances(features)
    for first, second in Progress(sorted(found), desc="near copies", unit="pair"):
        similarity = contents.similarity(first, second, distance(first, second))
        if similarity is not None:
            pairs.append(Pair(first, second, round(min(similarity, 1.0), 4)))
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair))


def _distances(features: np.ndarray | None) -> Callable[[int, int], float | None]:
    """The cosine distance of two rows as a share of that of two rows at random."""
    if features is None:
        return lambda _first, _second: None
    unit = unit_length(features)
    others = np.random.default_rng(0).permutation(len(unit))
    usual = max(float((1 - (unit * unit[others]).sum(axis=1)).mean()), 1e-9)
    return lambda first, second: float(1 - unit[first] @ unit[second]) / usual


def _neighbours(features: np.ndarray) -> Iterator[tuple[int, int]]:
    for place, others in enumerate(nearest(features, _NEIGHBOURS)):
        yield from (_ordered(place, int(other)) for other in others)


def _ordered(first: int, second: int) -> tuple[int, int]:
    return (first, second) if first < second else (second, first)


def clusters(count: int, pairs: Sequence[Pair]) -> np.ndarray:
    """The lowest row that each row is connected to by pairs, shape (rows,)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.array([(pair.first, pair.second) for pair in pairs], dtype=int).reshape(-1, 2).T
    links = coo_matrix((np.ones(ends.shape[1], dtype=bool), (ends[0], ends[1])), shape=(count, count))
    _, components = connected_components(links, directed=False)
    _, lowest = np.unique(components, return_index=True)
    return np.asarray(lowest[components])


def superfluous(count: int, pairs: Iterable[Pair], may_leave: np.ndarray) -> np.ndarray:
    """Whether each row is a near copy of a row before it that stays, shape (rows,).

    Args:
        count: of the rows, those that are to stay rather first.
        pairs: near copies.
        may_leave: whether a row may leave, shape (rows,).
    """
    before: dict[int, list[int]] = {}
    for pair in pairs:
        before.setdefault(pair.second, []).append(pair.first)
    leaves = np.zeros(count, dtype=bool)
    for row in sorted(before):
        leaves[row] = may_leave[row] and not all(leaves[first] for first in before[row])
    return leaves
