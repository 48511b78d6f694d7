"""One line that says what the task does; `hftransfer list` shows it.

https://huggingface.co/docs/transformers/tasks/... (the page of Transformers about the task)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.features import Feature, Label, Text
from hftransfer.tasks import Encoded, ModelBatch, Outputs, Predictions, Rows, Side, Task

if TYPE_CHECKING:
    from datasets import Dataset


class NewTask(Task):
    """As generated, a number for a text: replace what differs. Outputs: `logits` of shape (rows, 1)."""

    inputs: ClassVar[dict[str, Feature]] = {"text": Text()}
    target: ClassVar[tuple[str, Feature] | None] = ("label", Label())
    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    auto_processor: ClassVar[str] = "AutoTokenizer"
    metrics: ClassVar[list[str]] = ["mae"]
    tiny_model: ClassVar[str] = "bert"

    max_length: int = Field(default=256, ge=2)
    """Tokens kept of a text. A field of the class is a recipe key: `task.max_length`."""

    def config_fields(self) -> dict[str, Any]:
        # A task with classes names them instead: see `row_labels`, `find_labels` and `index_labels`.
        return {"num_labels": 1, "problem_type": "regression"}

    def encode(self, rows: Rows) -> Encoded:
        inputs = dict(self.processor(rows["text"], truncation=True, max_length=self.max_length))
        # `predict` gives rows without a target.
        if "label" in rows:
            inputs["labels"] = [float(value) for value in rows["label"]]
        return Encoded(inputs)

    def collate(self, encoded: list[dict[str, Any]]) -> ModelBatch:
        return dict(self.processor.pad(encoded, return_tensors="pt"))

    def outputs(self, model: Callable[..., Any], batch: ModelBatch, side: Side) -> Outputs:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return {"logits": model(**inputs).logits.float().cpu().numpy()}

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        return np.asarray(outputs["logits"][:, 0])

    def references(self, rows: Dataset) -> Predictions:
        return np.asarray(rows["label"][:], dtype=float)

    def error(self, prediction: Any, reference: Any) -> float:
        return abs(float(prediction) - float(reference))
