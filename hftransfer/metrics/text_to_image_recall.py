"""Recall@1 of text to image, 0 to 1: how often the most similar image of the split is one that has the text.

`at_5` and `at_10` are the details. A caption of several images is found by any of them; equal images are one. As in
Radford et al. 2021 (CLIP), https://arxiv.org/abs/2103.00020, table 13.
"""

from typing import ClassVar

from hftransfer.metrics._retrieval import RecallAtK


class TextToImageRecall(RecallAtK):
    """Text queries, images found."""

    direction: ClassVar[int] = 1
