"""Counts of pairs by their cosine, from which verification is scored: whether two rows are of one identity.

A prediction is a row's threshold, then how many rows of its own identity have a cosine within each of 500 equal parts
of [-1, 1], then the same of rows of others. Sums over rows give all error rates, so that a bootstrap resamples rows.
"""

from __future__ import annotations

import numpy as np

BINS = 500


def counts_of(
    similarities: np.ndarray, same: np.ndarray, threshold: float, pairs: np.ndarray | None = None
) -> np.ndarray:
    """Predictions of shape (rows, 1 + 2 * BINS), of all pairs of rows but those of a row with itself.

    Args:
        similarities: Cosines, shape (rows, rows).
        same: Whether two rows are of one identity, of the same shape.
        threshold: The cosine from which on two rows are taken for one identity.
        pairs: Whether a pair of rows is counted, of the same shape; None: all are.
    """
    rows = len(similarities)
    places = np.clip((similarities + 1) / 2 * BINS, 0, BINS - 1).astype(int)
    # Places in a table with the rows of one identity in the first BINS columns, of others in the next ones.
    columns = places + np.where(same, 0, BINS) + 2 * BINS * np.arange(rows)[:, None]
    others = ~np.eye(rows, dtype=bool)
    others = others if pairs is None else others & pairs
    counts = np.bincount(columns[others], minlength=rows * 2 * BINS).reshape(rows, 2 * BINS)
    return np.concatenate([np.full((rows, 1), threshold), counts], axis=1)


def accepted(predictions: np.ndarray) -> np.ndarray:
    """Pairs accepted and all pairs, of one identity and of two, shape (rows, 4)."""
    edges = np.round((predictions[:, :1] + 1) / 2 * BINS)
    above = np.arange(BINS) >= edges
    own, other = predictions[:, 1 : BINS + 1], predictions[:, BINS + 1 :]
    sums = [(own * above).sum(axis=1), own.sum(axis=1), (other * above).sum(axis=1), other.sum(axis=1)]
    return np.stack(sums, axis=1)


def threshold_at(counts: np.ndarray, share: float) -> float:
    """The least threshold at which no more than this share of the pairs of two identities are accepted.

    `counts` are those of `counts_of`, whose threshold does not matter.
    """
    other = counts[:, BINS + 1 :].sum(axis=0)
    above = np.append(np.cumsum(other[::-1])[::-1], 0)
    edge = int(np.argmax(above <= share * max(other.sum(), 1)))
    return edge / BINS * 2 - 1


def tiny_counts() -> tuple[list[object], list[object]]:
    """For the tests of metrics: two rows whose identities are told apart, and two taken for each other."""
    low, high = ([1.0] + [0.0] * (BINS - 1)), ([0.0] * (BINS - 1) + [1.0])
    return [[0.0, *high, *low]] * 2, [[0.0, *low, *high]] * 2
