"""Which documents are nearest to a query, and which answer it: each content of a split is one document.

Rows whose texts are equal but for their spacing have one document, so that none of them counts as a wrong answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hftransfer.metrics._rankings import DEPTH
from hftransfer.tasks._types import Predictions, object_array

# Rows whose similarities to all documents are in memory together.
_AT_ONCE = 512
_RANDOM_SIZE = 32


def content_id(cell: Any) -> int:
    """A number of 63 bits that equal contents have in common: of a text without its spacing."""
    content = " ".join(cell.split()).encode() if isinstance(cell, str) else np.asarray(cell).tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 1


def random_direction(cell: Any) -> np.ndarray:
    """A direction at random, the same for equal contents."""
    return np.random.default_rng(content_id(cell)).normal(size=_RANDOM_SIZE).astype(np.float32)


def first_rows(ids: Sequence[int]) -> np.ndarray:
    """The first row of each content, ascending: the documents of a corpus, each once."""
    _, first = np.unique(np.asarray(ids), return_index=True)
    return np.sort(first)


def rank(queries: np.ndarray, documents: np.ndarray, ids: Sequence[int]) -> Predictions:
    """For each query the rows of the nearest documents as a list, the best first, at most ten.

    Args:
        queries: Embeddings of shape (rows, size).
        documents: Embeddings of each row's document, of the same shape.
        ids: What `content_id` says of each row's document.
    """
    first = first_rows(ids)
    starts = range(0, len(queries), _AT_ONCE)
    return object_array(best((queries[it : it + _AT_ONCE] @ documents[first].T for it in starts), first).tolist())


def best(similarities: Iterable[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """The rows of the ten largest similarities of each query in falling order, shape (queries, 10 or fewer).

    Args:
        similarities: Of some queries to all documents, shape (queries, documents), then of the next ones.
        rows: The row of each document.
    """
    return np.concatenate([rows[np.argsort(-part, axis=1, kind="stable")[:, :DEPTH]] for part in similarities])


def relevant_rows(queries: Sequence[int], documents: Sequence[int]) -> Predictions:
    """The documents that answer each query, as sets of the rows in which they stand first.

    A query of several rows has the documents of all of them in its first row, and none in the others, so that a mean
    over rows is one over queries.
    """
    row_of = {documents[row]: int(row) for row in first_rows(documents)}
    answers: dict[int, set[int]] = {}
    for query, document in zip(queries, documents, strict=True):
        answers.setdefault(query, set()).add(row_of[document])
    return object_array([frozenset(answers.pop(query, ())) for query in queries])
