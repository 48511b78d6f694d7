"""Recall@1 of image to text, 0 to 1: how often the most similar text of the split is one of the image's own.

`at_5` and `at_10` are the details. An image with several captions is found by any of them; equal captions are one.
As in Radford et al. 2021 (CLIP), https://arxiv.org/abs/2103.00020, table 13.
"""

from typing import ClassVar

from hftransfer.metrics._retrieval import RecallAtK


class ImageToTextRecall(RecallAtK):
    """Image queries, texts found."""

    direction: ClassVar[int] = 0
