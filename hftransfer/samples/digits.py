"""Optical digits, 1,797 grey images of 8 x 8 (https://archive.ics.uci.edu/dataset/80, through scikit-learn; CC BY 4.0).

Columns: `image` (PIL, mode L, 8 x 8, 0 to 255), `label` (ClassLabel: 0 to 9). Other writers than MNIST's.
"""

from typing import Any

from hftransfer.samples import Sample


class Digits(Sample):
    """Digits by other writers than MNIST's: the target domain."""

    def rows(self) -> dict[str, Any]:
        """One split, `train`."""
        import numpy as np
        from sklearn.datasets import load_digits

        from hftransfer.samples import images

        data = load_digits()
        pixels = np.round(data.images * (255 / 16)).astype(np.uint8)
        return {"train": images(pixels, data.target, [str(i) for i in range(10)])}
