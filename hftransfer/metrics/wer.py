"""Word error rate, 0 or more: insertions, deletions and substitutions for each word of the reference.

Above 1 where more is inserted than the reference holds. By jiwer, https://github.com/jitsi/jiwer
"""

from typing import Any

from hftransfer.metrics._edits import ErrorRate


class Wer(ErrorRate):
    """Edits of words over the reference's length."""

    def align(self, reference: str, prediction: str) -> Any:
        import jiwer

        return jiwer.process_words(reference, prediction)
