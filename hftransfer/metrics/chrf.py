"""chrF, 0 to 100: F-score of character n-grams up to 6 (Popovic 2015, https://aclanthology.org/W15-3049); by sacrebleu.

https://github.com/mjpost/sacrebleu
"""

from typing import Any

from hftransfer.metrics._sacrebleu import CorpusScore


class Chrf(CorpusScore):
    """Overlap of character n-grams."""

    def scorer(self, references: list[str]) -> Any:  # noqa: ARG002
        from sacrebleu.metrics import CHRF

        return CHRF()
