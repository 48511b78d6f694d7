"""Character error rate: insertions, deletions and substitutions for each of the reference's characters; by jiwer.

https://github.com/jitsi/jiwer
"""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio

LOWER_IS_BETTER = True


class Cer(Additive):
    """Edits over the reference's length, over all rows at once."""

    def statistics(self, predictions, references):
        import jiwer

        found = [jiwer.process_characters(r, p) for p, r in zip(predictions, references, strict=True)]
        edits = [(one.insertions + one.deletions + one.substitutions) for one in found]
        lengths = [one.hits + one.deletions + one.substitutions for one in found]
        return {"cer": np.array([edits, lengths]).T}

    def value(self, sums):
        return ratio(sums)
