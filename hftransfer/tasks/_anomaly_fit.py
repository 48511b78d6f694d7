"""What anomaly detection fits to normal rows: mean and scale of their features, the bank, and the threshold."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

Scale = Literal["length", "deviation", "whiten"]
"""Vectors of length 1; each channel by its standard deviation; channels decorrelated and of deviation 1."""

SAMPLED = 20_000
"""Vectors of patches that the detector is fitted to, at random from all images."""
# Below this the whitening would enlarge what float32 rounds away, where some channels follow from others.
_LEAST_SHRINKAGE = 1e-3
# Dimensions in which the coreset is chosen, by a random projection as in PatchCore, section 3.2.
_PROJECTED = 128


def fit_detector(
    vectors: np.ndarray, scale: Scale, bank: int, coreset: Literal["greedy", "random"], seed: int
) -> dict[str, np.ndarray]:
    """`mean`, `whitening` and `bank` of a detector for vectors of normal rows, shape (vectors, channels).

    With `bank` 0 the bank is the mean alone: the distance to it, after whitening, is Mahalanobis'.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    mean, whitening = np.zeros(vectors.shape[1]), np.zeros(0)
    if scale == "length":
        scaled = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    else:
        mean = vectors.mean(axis=0)
        whitening = whiten(vectors) if scale == "whiten" else 1 / np.maximum(vectors.std(axis=0), 1e-6)
        scaled = (vectors - mean) @ whitening if scale == "whiten" else (vectors - mean) * whitening
    if bank == 0:
        chosen = np.zeros((1, vectors.shape[1]))
    elif len(scaled) <= bank:
        chosen = scaled
    else:
        rng = np.random.default_rng(seed)
        places = greedy_coreset(scaled, bank, rng) if coreset == "greedy" else rng.permutation(len(scaled))[:bank]
        chosen = scaled[places]
    return {"mean": mean, "whitening": whitening, "bank": chosen}


def whiten(vectors: np.ndarray) -> np.ndarray:
    """W of shape (channels, channels) with W W^T the inverse covariance, shrunk as by Ledoit and Wolf.

    |(x - mean) W| is the Mahalanobis distance. Ledoit and Wolf 2004, https://doi.org/10.1016/S0047-259X(03)00096-4
    """
    from sklearn.covariance import empirical_covariance, ledoit_wolf_shrinkage, shrunk_covariance

    shrinkage = max(float(ledoit_wolf_shrinkage(vectors)), _LEAST_SHRINKAGE)
    covariance = shrunk_covariance(empirical_covariance(vectors), shrinkage)
    # Channels that are the same in every row leave a covariance of 0, whose inverse does not exist.
    covariance[np.diag_indices_from(covariance)] += 1e-12
    return np.asarray(np.linalg.cholesky(np.linalg.inv(covariance)))


def greedy_coreset(vectors: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of vectors, each the farthest from those before it (k-center greedy; PatchCore, algorithm 1)."""
    if vectors.shape[1] > _PROJECTED:
        vectors = vectors @ rng.normal(size=(vectors.shape[1], _PROJECTED)) / _PROJECTED**0.5
    vectors = vectors.astype(np.float32)
    squares = (vectors**2).sum(axis=1)
    places = np.empty(size, dtype=int)
    places[0] = rng.integers(len(vectors))
    nearest = np.full(len(vectors), np.inf, dtype=np.float32)
    for number in range(1, size):
        last = places[number - 1]
        np.minimum(nearest, squares + squares[last] - 2 * (vectors @ vectors[last]), out=nearest)
        nearest[last] = -np.inf
        places[number] = int(nearest.argmax())
    return places


def fit_threshold(scores: np.ndarray, false_alarms: float) -> float:
    """The score that a share `false_alarms` of new normal rows exceeds at most, on average, by normal rows' scores.

    The k-th smallest of n scores with k = ceil((n + 1)(1 - share)), the largest where n is too small: the quantile of
    split conformal prediction (Vovk et al. 2005; https://arxiv.org/abs/2107.07511, section 1).
    """
    place = math.ceil((len(scores) + 1) * (1 - false_alarms) - 1e-9)
    return float(np.sort(scores)[min(place, len(scores)) - 1])


def as_probabilities(scores: np.ndarray, threshold: float | None) -> np.ndarray:
    """Shape (rows, 2): a number from 0 to 1 that rises with the score, 0.5 at the threshold; no probability."""
    middle = max(threshold or 1.0, 1e-12)
    scores = np.maximum(np.asarray(scores, dtype=np.float64), 0)
    share = scores / (scores + middle)
    return np.stack([1 - share, share], axis=1)


def reduced(heat: np.ndarray, longest: int) -> np.ndarray:
    """Maps of shape (rows, height, width), the largest value of each block, no side above `longest`."""
    factor = math.ceil(max(heat.shape[1:]) / longest)
    rows, height, width = heat.shape
    padding = [(0, 0), (0, -height % factor), (0, -width % factor)]
    blocks = np.pad(heat, padding, mode="edge").reshape(rows, -(-height // factor), factor, -(-width // factor), factor)
    return np.asarray(blocks.max(axis=(2, 4)))
