"""Texts as they are compared when transcripts are scored: Whisper's normalization, as the leaderboards use it.

Radford et al. 2022, https://arxiv.org/abs/2212.04356, appendix C.
"""

from collections.abc import Iterable
from typing import Literal

Kind = Literal["none", "basic", "english"]


def normalized(texts: Iterable[str], kind: Kind) -> list[str]:
    """The texts; `basic`: in lower case, without punctuation; `english`: numbers as digits, contractions in full."""
    if kind == "none":
        return list(texts)
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

    # The table is of British spellings, which comes with checkpoints.
    normalizer = BasicTextNormalizer() if kind == "basic" else EnglishTextNormalizer({})
    return [" ".join(normalizer(text).split()) for text in texts]
