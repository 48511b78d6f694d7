"""Near copies of texts: the share of their character 5-grams that two texts have in common (Broder 1997).

MinHash finds the pairs without comparing all (https://doi.org/10.1109/SEQUEN.1997.666900; bands as in Leskovec et al.,
Mining of Massive Datasets, section 3.4); whether they are near copies, the sets themselves decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

import numpy as np

from hftransfer.data.contradictions import normalized

_GRAM = 5
# Hash functions, in bands of rows: two texts are compared if all hashes of a band agree, which two that share half of
# their 5-grams do with a probability of 0.87, and two that share a tenth with 0.003.
_BANDS, _ROWS = 32, 4
# A bucket of more texts holds boilerplate, of which each is compared with the next ones alone.
_BUCKET = 50
# From these shares on two texts are near copies: of all their 5-grams, or of those of the shorter, which is a part of
# the longer, where it has enough of them.
_SAME, _CONTAINED, _ENOUGH = 0.6, 0.8, 300
_PRIME = (1 << 31) - 1


class TextContents:
    """The sets of 5-grams of some texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Letters and digits count, in whatever case."""
        self._sets = [_grams(normalized(text)) for text in texts]

    def candidates(self) -> Iterator[tuple[int, int]]:
        """Pairs of texts that may be near copies."""
        signatures = self._signatures()
        for start in range(0, _BANDS * _ROWS, _ROWS):
            buckets: dict[bytes, list[int]] = {}
            for place, band in enumerate(signatures[:, start : start + _ROWS]):
                buckets.setdefault(band.tobytes(), []).append(place)
            for places in buckets.values():
                if len(places) <= _BUCKET:
                    yield from combinations(places, 2)
                else:
                    yield from zip(places, places[1:], strict=False)

    def similarity(self, first: int, second: int, distance: float | None) -> float | None:  # noqa: ARG002
        """The share of 5-grams in common, 0 to 1; of a text that is a part of another, of its own."""
        one, other = self._sets[first], self._sets[second]
        common = len(np.intersect1d(one, other, assume_unique=True))
        shared = common / (len(one) + len(other) - common)
        shorter = min(len(one), len(other))
        contained = common / shorter
        found = contained if shorter >= _ENOUGH and contained >= _CONTAINED else shared
        return found if found >= _SAME else None

    def _signatures(self) -> np.ndarray:
        """The least hash of each text by each hash function, shape (texts, functions)."""
        rng = np.random.default_rng(0)
        factors = rng.integers(1, _PRIME, (_BANDS * _ROWS, 1), dtype=np.uint64)
        summands = rng.integers(0, _PRIME, (_BANDS * _ROWS, 1), dtype=np.uint64)
        signatures = np.empty((len(self._sets), _BANDS * _ROWS), dtype=np.uint32)
        for place, grams in enumerate(self._sets):
            hashes = (factors * grams.astype(np.uint64) + summands) % _PRIME
            signatures[place] = hashes.min(axis=1)
        return signatures


def _grams(text: str) -> np.ndarray:
    """The hashes of a text's 5-grams, sorted, 31 bits each; a shorter text is one of them."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    codes = np.pad(codes, (0, max(0, _GRAM - len(codes))))
    hashes = np.zeros(len(codes) - _GRAM + 1, dtype=np.uint64)
    for place in range(_GRAM):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + codes[place : place + len(hashes)]
    hashes ^= hashes >> np.uint64(32)
    return np.unique((hashes * np.uint64(0xBF58476D1CE4E5B9)) >> np.uint64(33))
