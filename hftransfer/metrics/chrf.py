"""chrF, 0 to 100: F-score of character n-grams up to 6 (Popovic 2015); by sacrebleu.

https://github.com/mjpost/sacrebleu
"""

import numpy as np

from hftransfer.metrics._additive import Additive


class Chrf(Additive):
    """Of the corpus, from the sums of each sentence's counts."""

    def statistics(self, predictions, references):
        from sacrebleu.metrics import CHRF

        # What sacrebleu's own bootstrap resamples (sacrebleu/significance.py).
        counts = CHRF()._extract_corpus_statistics([str(p) for p in predictions], [[str(r) for r in references]])
        return {"chrf": np.array(counts)}

    def value(self, sums):
        from sacrebleu.metrics import CHRF

        metric = CHRF()
        scores = [metric._compute_score_from_stats(row.tolist()).score for row in sums.reshape(-1, sums.shape[-1])]
        return np.array(scores).reshape(sums.shape[:-1])
