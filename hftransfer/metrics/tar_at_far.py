"""True accept rate, 0 to 1: the share of pairs of one identity accepted at a threshold fitted to validation rows.

The threshold is that of `task.false_accepts`; `.far` is the share of pairs of two identities that it really accepts on
these rows. Both as in Klare et al. 2015 (IJB-A), https://doi.org/10.1109/CVPR.2015.7298803.
"""

from typing import ClassVar

import numpy as np

from hftransfer.metrics._additive import Additive, ratio
from hftransfer.metrics._similarity_counts import accepted, tiny_counts


class TarAtFar(Additive):
    """Accepted pairs of one identity, over all of them."""

    details: ClassVar[tuple[str, ...]] = ("far",)

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        counts = accepted(np.asarray(predictions)) + np.zeros((len(references), 1))
        return {self.name: counts[:, :2], f"{self.name}.far": counts[:, 2:]}

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        return tiny_counts()
