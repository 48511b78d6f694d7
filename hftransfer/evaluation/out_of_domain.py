"""How far a row is from the training rows: the distance of its features to the tenth nearest of them."""

import numpy as np

NEIGHBOURS = 10
# Distances in memory together.
_AT_ONCE = 2**24


def neighbour_distances(train: np.ndarray, rows: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """The cosine distance of each row to its tenth nearest training row, 0 to 2, shape (rows,).

    Sun et al. 2022, https://arxiv.org/abs/2204.06507, section 3, where it recognizes rows of other domains. Both arrays
    hold features of shape (rows, size); of fewer training rows, the distance is that to the farthest.
    """
    known, place = _unit_length(train), min(neighbours, len(train)) - 1
    step = max(1, _AT_ONCE // len(train))
    parts = (1 - _unit_length(rows[start : start + step]) @ known.T for start in range(0, len(rows), step))
    return np.concatenate([np.partition(part, place, axis=1)[:, place] for part in parts])


def share_nearer(distances: np.ndarray, validation: np.ndarray) -> np.ndarray:
    """The share of validation rows that are nearer to the training rows than each of these distances, 0 to 1."""
    return np.asarray(np.searchsorted(np.sort(validation), distances, side="left") / len(validation))


def _unit_length(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features.astype(np.float32), axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12), dtype=np.float32)
