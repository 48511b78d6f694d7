"""F1 of entities that are found whole and rightly named (CoNLL-2003), of all types and of each; by seqeval.

https://github.com/chakki-works/seqeval
"""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio


class Seqeval(Additive):
    """Micro F1 over entities; predictions and references are lists of tags such as B-PER."""

    words = True

    def statistics(self, predictions, references):
        from seqeval.metrics.sequence_labeling import get_entities

        found = [[set(get_entities(list(tags))) for tags in rows] for rows in (predictions, references)]
        types = sorted({kind for rows in found for row in rows for kind, _, _ in row})

        def counts(kind=None):
            pairs = [[{e for e in row if kind in (None, e[0])} for row in rows] for rows in found]
            return np.array([[2 * len(p & r), len(p) + len(r)] for p, r in zip(*pairs, strict=True)])

        return {"seqeval": counts()} | {f"seqeval.{kind}": counts(kind) for kind in types}

    def value(self, sums):
        return ratio(sums)
