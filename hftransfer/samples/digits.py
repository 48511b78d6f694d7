"""Optical digits, 1,797 grey images of 8 x 8 (https://archive.ics.uci.edu/dataset/80, through scikit-learn; CC BY 4.0).

Columns: `image` (PIL, mode L, 8 x 8, 0 to 255), `label` (ClassLabel: 0 to 9). Other writers than MNIST's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hftransfer.samples import Sample, image_rows

if TYPE_CHECKING:
    from datasets import Dataset


class Digits(Sample):
    """Digits by other writers than MNIST's: a target domain for it."""

    license: ClassVar[str] = "cc-by-4.0"
    provenance: ClassVar[str] = (
        'package scikit-learn, from the UCI data set "Optical Recognition of Handwritten Digits"'
    )

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`."""
        import numpy as np
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
        return {"train": image_rows(pixels, digits.target, [str(number) for number in range(10)])}
