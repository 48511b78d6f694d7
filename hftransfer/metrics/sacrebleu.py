"""BLEU, 0 to 100 (Papineni et al. 2002, https://aclanthology.org/P02-1040), with sacrebleu's tokenization (Post 2018).

Words that are written without spaces (Chinese, Japanese, Thai) are taken by the character, sacrebleu's `char`.
https://github.com/mjpost/sacrebleu
"""

from typing import Any

from hftransfer.metrics._sacrebleu import CorpusScore
from hftransfer.metrics._scripts import uses_spaces


class Sacrebleu(CorpusScore):
    """Overlap of word n-grams up to 4, with a brevity penalty."""

    def scorer(self, references: list[str]) -> Any:
        from sacrebleu.metrics import BLEU

        return BLEU(tokenize="13a" if uses_spaces(references) else "char")
