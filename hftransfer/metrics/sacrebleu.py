"""BLEU, 0 to 100 (Papineni et al. 2002), with sacrebleu's own tokenization (Post 2018).

That of references without spaces between words (Chinese, Japanese, Thai) is by the letter, sacrebleu's `char`.

https://github.com/mjpost/sacrebleu
"""

import numpy as np

from hftransfer.metrics._additive import Additive
from hftransfer.metrics._scripts import spaced


class Sacrebleu(Additive):
    """Of the corpus, from the sums of each sentence's counts."""

    def statistics(self, predictions, references):
        from sacrebleu.metrics import BLEU

        texts = [str(r) for r in references]
        # What sacrebleu's own bootstrap resamples (sacrebleu/significance.py).
        metric = BLEU(tokenize="13a" if spaced(texts) else "char")
        counts = metric._extract_corpus_statistics([str(p) for p in predictions], [texts])
        return {"sacrebleu": np.array(counts)}

    def value(self, sums):
        from sacrebleu.metrics import BLEU

        metric = BLEU()
        scores = [metric._compute_score_from_stats(row.tolist()).score for row in sums.reshape(-1, sums.shape[-1])]
        return np.array(scores).reshape(sums.shape[:-1])
