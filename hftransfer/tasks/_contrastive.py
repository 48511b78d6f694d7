"""Losses on embeddings: in-batch negatives, cosine regression, batch-hard triplets, softmax with a margin.

All take rows of any length and compare directions. `nested` is the sum of a loss over the first so many values of the
embeddings (Matryoshka, Kusupati et al. 2022, https://arxiv.org/abs/2205.13147), so that a shortened one serves too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Margin = Literal["am_softmax", "arcface"]


def nested(loss: Callable[..., Tensor], sizes: Sequence[int], *embeddings: Tensor) -> Tensor:
    """The sum of `loss(*embeddings)` and of the same with only the first `size` values of each, for every size."""
    total = loss(*embeddings)
    for size in sizes:
        total = total + loss(*(it[..., :size] for it in embeddings))
    return total


def no_negatives(queries: Tensor, positives: Tensor, candidates: Tensor) -> Tensor:
    """Which candidates are no negatives of which query of a batch, shape (queries, candidates), by ids of contents.

    Those that answer the query: what answers an equal one, in any row, answers this one too. And further copies of a
    document, which would count several times.

    Args:
        queries: Ids of shape (rows,).
        positives: Ids of the documents that answer them, shape (rows,).
        candidates: Ids of all documents of the batch.
    """
    import torch

    same_query = queries[:, None] == queries[None, :]
    same_document = positives[:, None] == candidates[None, :]
    relevant = (same_query.float() @ same_document.float()) > 0
    repeated = torch.triu(candidates[:, None] == candidates[None, :], diagonal=1).any(dim=0)
    return relevant | repeated


def in_batch_negatives(queries: Tensor, candidates: Tensor, left_out: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of each query's own document, candidate i for query i, among those that are not `left_out`.

    The multiple negatives ranking loss (Henderson et al. 2017, https://arxiv.org/abs/1705.00652, section 4.4) on
    cosines divided by a temperature (InfoNCE). Whether a query's own document is left out is not looked at.
    """
    import torch
    from torch.nn import functional

    cosines = functional.normalize(queries, dim=-1) @ functional.normalize(candidates, dim=-1).T
    own = torch.arange(len(queries), device=queries.device)
    others = left_out.clone()
    others[own, own] = False
    return functional.cross_entropy((cosines / temperature).masked_fill(others, float("-inf")), own)


def cosine_regression(first: Tensor, second: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of the cosines of pairs, as in Reimers and Gurevych 2019, https://arxiv.org/abs/1908.10084."""
    from torch.nn import functional

    return functional.mse_loss(functional.cosine_similarity(first, second), targets.to(first.dtype))


def batch_hard_triplets(embeddings: Tensor, identities: Tensor, margin: float) -> Tensor:
    """Mean hinge of each row's farthest row of its identity against its nearest row of another, by Euclidean distance.

    Hermans et al. 2017, https://arxiv.org/abs/1703.07737, equation 5, on normalized embeddings. Rows whose identity the
    batch has once, and batches of one identity, contribute nothing.
    """
    import torch
    from torch.nn import functional

    unit = functional.normalize(embeddings, dim=-1)
    # The root has no gradient at 0, the distance of a row to itself.
    distances = (2 - 2 * unit @ unit.T).clamp(min=1e-9).sqrt()
    same = identities[:, None] == identities[None, :]
    others = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    usable = others.any(dim=1) & (~same).any(dim=1)
    if not usable.any():
        return embeddings.sum() * 0
    farthest = distances.masked_fill(~others, float("-inf")).amax(dim=1)[usable]
    nearest = distances.masked_fill(same, float("inf")).amin(dim=1)[usable]
    return functional.relu(margin + farthest - nearest).mean()


def margin_softmax(
    embeddings: Tensor,
    weights: Tensor,
    identities: Tensor,
    kind: Margin,
    margin: float,
    scale: float,
) -> Tensor:
    """Cross-entropy of scaled cosines to a vector for each identity, that of the row's own made smaller by a margin.

    The margin is taken from the cosine (`am_softmax`, Wang et al. 2018, https://arxiv.org/abs/1801.05599, equation 5),
    or added to the angle (`arcface`, Deng et al. 2019, https://arxiv.org/abs/1801.07698, equation 3), beyond which the
    cosine would rise again and is made smaller by a constant.

    Args:
        embeddings: Of shape (rows, size).
        weights: Of shape (identities, size).
        identities: Numbers below the number of weights, shape (rows,).
        kind: Which of the two.
        margin: As a cosine, or in radians.
        scale: The factor of all cosines.
    """
    import torch
    from torch.nn import functional

    cosines = functional.normalize(embeddings, dim=-1) @ functional.normalize(weights, dim=-1).T
    own = cosines.gather(1, identities[:, None])
    if kind == "am_softmax":
        smaller = own - margin
    else:
        # The arc cosine has no gradient at 1 and -1.
        angles = own.clamp(-1 + 1e-6, 1 - 1e-6).acos() + margin
        smaller = torch.where(angles < math.pi, angles.cos(), own - margin * math.sin(margin))
    return functional.cross_entropy(scale * cosines.scatter(1, identities[:, None], smaller), identities)
