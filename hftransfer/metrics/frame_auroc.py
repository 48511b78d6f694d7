"""Area under the ROC curve over frames, 0 to 1: how often a frame of a class is ranked above one without it.

The mean over the classes that some frames have and some have not, as `roc_auc`; no threshold and no smoothing is in it.
Hanley and McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747
A bootstrap resamples whole recordings, since neighbouring frames are alike.
"""

import numpy as np

from hftransfer.metrics._base import Metric, Resampler
from hftransfer.metrics._frames import tiny_rows
from hftransfer.metrics.roc_auc import RocAuc


class FrameAuroc(Metric):
    """`roc_auc` of the probabilities of all frames."""

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        values = self.resampler(predictions, references)(np.ones((1, len(references)), dtype=int))
        return {name: float(value[0]) for name, value in values.items()}

    def resampler(self, predictions: np.ndarray, references: np.ndarray) -> Resampler:
        """The frames are sorted once for all resamples."""
        probabilities = np.concatenate([row.probabilities for row in predictions])
        actual = np.concatenate([row.active for row in references]).astype(int)
        rows = np.repeat(np.arange(len(references)), [len(row.active) for row in references])
        area = RocAuc()
        ranked = area.resampler(probabilities, actual)

        def values(counts: np.ndarray) -> dict[str, np.ndarray]:
            # One by one: the frames of all resamples would not fit into memory.
            each = [ranked(np.asarray(times)[rows][None])[area.name] for times in counts]
            return {self.name: np.concatenate(each)}

        return values

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        return tiny_rows()
