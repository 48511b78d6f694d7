"""ROUGE-L F1, 0 to 1, with ROUGE-1 and ROUGE-2 (Lin 2004, https://aclanthology.org/W04-1013), the mean over the rows.

By rouge_score, whose tokenizer knows ASCII alone: here words are those of any script, English ones stemmed as there.
https://github.com/google-research/google-research/tree/master/rouge
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics._additive import TextSums, ratio
from hftransfer.metrics._scripts import words


class Rouge(TextSums):
    """Overlap of a summary with its reference: longest common subsequence, words, pairs of words."""

    requires: ClassVar[dict[str, str]] = {"rouge_score": "text"}
    details: ClassVar[tuple[str, ...]] = ("1", "2")

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        from nltk.stem.porter import PorterStemmer
        from rouge_score.rouge_scorer import RougeScorer
        from rouge_score.tokenizers import Tokenizer

        stem = PorterStemmer().stem

        class Words(Tokenizer):
            def tokenize(self, text: str) -> list[str]:
                return [stem(word) if len(word) > 3 and word.isascii() else word for word in words(text)]

        scorer = RougeScorer(["rougeL", "rouge1", "rouge2"], tokenizer=Words())
        scores = [scorer.score(str(r), str(p)) for p, r in zip(predictions, references, strict=True)]
        names = {self.name: "rougeL", f"{self.name}.1": "rouge1", f"{self.name}.2": "rouge2"}
        return {name: np.array([[score[key].fmeasure, 1] for score in scores]) for name, key in names.items()}

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)
