"""F1 of entities that are found whole and rightly named (CoNLL-2003), of all types and of each; by seqeval.

https://github.com/chakki-works/seqeval

The config says what the tags are, and behind a hyphen the tag of words that belong to nothing: `chunks-O` for B-PER and
its like (IOB, BIOES, BILOU, BMES), `runs-O` for bare names, of which equal neighbours are one entity, `words-O` for a
tag on every word (parts of speech), each of which is one: the F1 of all is then the accuracy.
"""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio


class Seqeval(Additive):
    """Micro F1 over entities; predictions and references are lists of tags such as B-PER."""

    words = True

    def statistics(self, predictions, references):
        from seqeval.metrics.sequence_labeling import get_entities

        found = [[set(get_entities(self._chunks(tags))) for tags in rows] for rows in (predictions, references)]
        types = sorted({kind for rows in found for row in rows for kind, _, _ in row})

        def counts(kind=None):
            pairs = [[{e for e in row if kind in (None, e[0])} for row in rows] for rows in found]
            return np.array([[2 * len(p & r), len(p) + len(r)] for p, r in zip(*pairs, strict=True)])

        return {"seqeval": counts()} | {f"seqeval.{kind}": counts(kind) for kind in types}

    def _chunks(self, tags):
        """The tags as seqeval spells them."""
        scheme, _, outside = self.config_name.partition("-")
        begin = {"runs": "I-", "words": "S-"}.get(scheme)
        if begin:
            return ["O" if tag == outside else f"{begin}{tag}" for tag in tags]
        alike = {"L": "E", "M": "I", "U": "S", "W": "S"}
        # Mark, hyphen or underscore, type.
        marks = [(tag[:1].upper(), tag[2:]) for tag in tags]
        chunks = ["-".join([alike.get(mark, mark), *([kind] if kind else [])]) for mark, kind in marks]
        return ["O" if tag == outside else chunk for tag, chunk in zip(tags, chunks, strict=True)]

    def value(self, sums):
        return ratio(sums)
