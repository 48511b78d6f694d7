"""ROUGE-L F1, and ROUGE-1 and ROUGE-2 beside it (Lin 2004), stemmed, the mean over the rows; by rouge_score.

Its own words are those of ASCII alone; here they are those of any script, English ones stemmed as there.

https://github.com/google-research/google-research/tree/master/rouge
"""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio
from hftransfer.metrics._scripts import words


class Rouge(Additive):
    """Overlap of a summary with the reference: longest common subsequence, words, pairs of words."""

    def statistics(self, predictions, references):
        from nltk.stem.porter import PorterStemmer
        from rouge_score.rouge_scorer import RougeScorer
        from rouge_score.tokenizers import Tokenizer

        stem = PorterStemmer().stem

        class Words(Tokenizer):
            def tokenize(self, text):
                return [stem(word) if len(word) > 3 and word.isascii() else word for word in words(text)]

        scorer = RougeScorer(["rougeL", "rouge1", "rouge2"], tokenizer=Words())
        found = [scorer.score(str(r), str(p)) for p, r in zip(predictions, references, strict=True)]
        names = {"rouge": "rougeL", "rouge.1": "rouge1", "rouge.2": "rouge2"}
        return {name: np.array([[row[key].fmeasure, 1] for row in found]) for name, key in names.items()}

    def value(self, sums):
        return ratio(sums)
