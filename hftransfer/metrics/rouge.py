"""ROUGE-L F1, and ROUGE-1 and ROUGE-2 beside it (Lin 2004), stemmed, the mean over the rows; by rouge_score.

https://github.com/google-research/google-research/tree/master/rouge
"""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio


class Rouge(Additive):
    """Overlap of a summary with the reference: longest common subsequence, words, pairs of words."""

    def statistics(self, predictions, references):
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(["rougeL", "rouge1", "rouge2"], use_stemmer=True)
        found = [scorer.score(str(r), str(p)) for p, r in zip(predictions, references, strict=True)]
        names = {"rouge": "rougeL", "rouge.1": "rouge1", "rouge.2": "rouge2"}
        return {name: np.array([[row[key].fmeasure, 1] for row in found]) for name, key in names.items()}

    def value(self, sums):
        return ratio(sums)
