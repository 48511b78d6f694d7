"""Character error rate, 0 or more: insertions, deletions and substitutions for each character of the reference.

Above 1 where more is inserted than the reference holds. By jiwer, https://github.com/jitsi/jiwer
"""

from typing import Any

from hftransfer.metrics._edits import ErrorRate


class Cer(ErrorRate):
    """Edits of characters over the reference's length."""

    def align(self, reference: str, prediction: str) -> Any:
        import jiwer

        return jiwer.process_characters(reference, prediction)
