"""BM25, the baseline of every text retrieval (Robertson and Zaragoza 2009, https://doi.org/10.1561/1500000019, 3.4).

Score of a document for a query: the sum over their common terms of idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length
/ mean length)), with k1 = 1.2 and b = 0.75. idf = ln(1 + (N - n + 0.5) / (n + 0.5)) for a term that n of N documents
have: the 1 keeps it above 0, as in Lucene. Terms are the lower-case words of a text (`\\w+`), each once of a query;
of a language without spaces, whole clauses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

K1, B = 1.2, 0.75
AT_ONCE = 256
"""Queries whose scores for all documents are in memory together."""
_WORD = re.compile(r"\w+")


def bm25(queries: Sequence[str], documents: Sequence[str]) -> Iterator[np.ndarray]:
    """The scores of the first `AT_ONCE` queries, then of the next ones: arrays of shape (queries, documents)."""
    vocabulary: dict[str, int] = {}
    counts = _counts(documents, vocabulary, grow=True)
    asked = _counts(queries, vocabulary, grow=False)
    asked.data[:] = 1.0
    lengths = counts.sum(axis=1)
    having = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
    norms = K1 * (1 - B + B * lengths / max(lengths.mean(), 1e-9))
    row_of = np.repeat(np.arange(len(documents)), np.diff(counts.indptr))
    counts.data = idf[counts.indices] * counts.data * (K1 + 1) / (counts.data + norms[row_of])
    for start in range(0, len(queries), AT_ONCE):
        yield (asked[start : start + AT_ONCE] @ counts.T).toarray()


def _counts(texts: Sequence[str], vocabulary: dict[str, int], *, grow: bool) -> csr_array:
    """How often each text has each word, shape (texts, vocabulary); new words join the vocabulary if it may `grow`."""
    from scipy.sparse import csr_array

    rows, columns = [], []
    for row, text in enumerate(texts):
        for word in _WORD.findall(text.lower()):
            number = vocabulary.setdefault(word, len(vocabulary)) if grow else vocabulary.get(word)
            if number is not None:
                rows.append(row)
                columns.append(number)
    # Equal places are summed up.
    ones, shape = np.ones(len(rows)), (len(texts), max(len(vocabulary), 1))
    return csr_array((ones, (rows, columns)), shape=shape)
