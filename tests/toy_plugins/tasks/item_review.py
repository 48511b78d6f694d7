"""Whether a user likes an item of a catalogue: a second table, units of the bootstrap, and a threshold fitted later."""

from typing import ClassVar

import numpy as np

from hftransfer.core.features import Text
from hftransfer.tasks import Encoded
from hftransfer.tasks.text_classification import TextClassification


class ItemReview(TextClassification):
    """Two classes, the second where its probability exceeds `cutoff`; users are resampled whole."""

    inputs: ClassVar = {"user": Text(), "item": Text()}
    items: ClassVar = {"title": Text()}
    fit_splits: ClassVar = ("train", "validation")

    cutoff: float = 0.5

    def encode(self, rows):
        titles = dict(zip(self.items_table["id"], self.items_table["title"], strict=True))
        texts = {"text": [f"{user} {titles[item]}" for user, item in zip(rows["user"], rows["item"], strict=True)]}
        encoded = super().encode(texts | {name: rows[name] for name in ("label",) if name in rows})
        return Encoded(encoded.inputs, length=encoded.length)

    def check(self, splits, config):
        return []

    def units(self, rows):
        return rows["user"][:]

    def fit_outputs(self, outputs, side, references):
        scores = [self.probabilities(outputs[split], side[split])[:, 1] for split in self.fit_splits]
        return {"cutoff": float(np.median(np.concatenate(scores)))}

    def postprocess(self, outputs, side):
        return (self.probabilities(outputs, side)[:, 1] > self.cutoff).astype(int)
