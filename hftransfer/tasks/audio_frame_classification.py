"""What is active when in a recording: speech, speakers by name, wake words; several classes at a time.

wav2vec2 and its relatives, or Whisper's encoder with a linear head (`_whisper_frames.py`).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.features import Audio, Feature, Json
from hftransfer.core.media import open_image
from hftransfer.core.results import JsonObject
from hftransfer.metrics._frames import Activity
from hftransfer.tasks import Encoded, Illustration, _audio, _frame_baselines, _frame_decisions, _frames, _segments
from hftransfer.tasks._frame_checkpoints import FrameCheckpoints
from hftransfer.tasks._types import EncodedRow, Model, ModelBatch, Outputs, Predictions, Row, Rows, Side, object_array

if TYPE_CHECKING:
    from datasets import Dataset


class AudioFrameClassification(FrameCheckpoints):
    """Recordings to segments. Outputs: `logits` of shape (windows, frames, classes), filled up with NaN."""

    inputs: ClassVar[dict[str, Feature]] = {"audio": Audio()}
    target: ClassVar[tuple[str, Feature] | None] = ("segments", Json())
    metrics: ClassVar[list[str]] = ["frame_f1", "frame_auroc", "der"]
    suggested_checkpoints = {"audio": ("openai/whisper-tiny", "sample:whisper_tiny_en")}
    own_baselines: ClassVar[tuple[str, ...]] = _frame_baselines.NAMES
    augmentations: ClassVar[tuple[str, ...]] = ("gain", "noise", "bin_mask")
    refused_corruptions: ClassVar[tuple[str, ...]] = ("speed",)
    refuses: ClassVar[dict[str, str]] = {
        "few_shot": "it compares rows of one class each, and a recording has classes for each frame",
        "distill": "the segments of a teacher are no labels for another model",
        "multi_task": "it trains with the losses of the models, and this task replaces its model's",
    }

    collar: float = Field(default=0.25, ge=0, le=10)
    """Seconds on both sides of each boundary of a reference that `der` does not score."""
    frame_thresholds: list[Annotated[float, Field(ge=0, le=1)]] | None = None
    """Of each class, in the order of their names, the probability above which it is active; left out, fitted."""
    median_seconds: float | None = Field(default=None, ge=0, le=10)
    """Width of the median filter over decisions; this and the next two are fitted to validation rows if left out."""
    gap_seconds: float | None = Field(default=None, ge=0, le=60)
    """Shorter pauses within a class are filled."""
    shortest_seconds: float | None = Field(default=None, ge=0, le=60)
    """Shorter segments are removed."""

    def check_row(self, row: Row) -> str | None:
        (samples, rate), segments = row["audio"], row.get("segments", [])
        return _audio.fault(row, silence=False) or _segments.fault(segments, len(samples) / rate)

    def row_labels(self, rows: Dataset) -> list[list[str]] | None:
        return [sorted({label for *_, label in _segments.named_segments(cell)}) for cell in rows["segments"]]

    def metric_options(self) -> dict[str, Any]:
        return {"labels": self.labels, "collar": self.collar}

    def encode(self, rows: Rows) -> Encoded:
        known = "segments" in rows
        active = [it.active for it in _frames.activities(rows, self.labels, self.step)] if known else None
        return _frames.encode(rows["audio"], active, self.processor, self.step, self.window)

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        batch = _audio.pad_batch(self.processor, self.architecture, encoded)
        if "labels" in encoded[0]:
            batch["labels"] = _frames.label_tensor([row["labels"] for row in encoded], len(self.labels))
        return batch

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        return {"logits": _frames.logits(model, batch, self.processor.model_input_names[0], side)}

    def _probabilities(self, outputs: Outputs, side: Side) -> list[np.ndarray]:
        """Of each recording, shape (frames, classes)."""
        return [1 / (1 + np.exp(-logits)) for logits in _frames.joined(outputs["logits"], side)]

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        decisions = _frame_decisions.Decisions(
            tuple(self.frame_thresholds or [0.5] * len(self.labels)),
            self.median_seconds or 0.0,
            self.gap_seconds or 0.0,
            self.shortest_seconds or 0.0,
        )
        pairs = [(it, decisions.decide(it, self.step)) for it in self._probabilities(outputs, side)]
        return object_array([Activity(it, active, _segments.from_frames(active, self.step)) for it, active in pairs])

    def references(self, rows: Dataset) -> Predictions:
        return object_array(_frames.activities(rows, self.labels, self.step))

    def error(self, prediction: Activity, reference: Activity) -> float:
        """Share of the frames in which some class is wrong."""
        return float((prediction.active != reference.active).any(axis=1).mean())

    def wrong(self, reference: Activity, prediction: Activity) -> Activity:
        """What is not active is, and the other way round."""
        active = ~reference.active
        return Activity(1 - reference.probabilities, active, _segments.from_frames(active, self.step))

    @property
    def fit_splits(self) -> tuple[str, ...]:
        return ("validation",)

    def fit_outputs(
        self, outputs: Mapping[str, Outputs], side: Mapping[str, Side], references: Mapping[str, Predictions]
    ) -> dict[str, Any]:
        given = {"median": self.median_seconds, "gap": self.gap_seconds, "shortest": self.shortest_seconds}
        predicted = self._probabilities(outputs["validation"], side["validation"])
        active = [it.active for it in references["validation"]]
        return _frame_decisions.fit(predicted, active, self.step, self.frame_thresholds, given)

    def baseline(self, references: Predictions) -> Outputs:
        """The class that most frames have, in all of them."""
        counts = np.sum([it.active.sum(axis=0) for it in references], axis=0)
        return {"logits": np.where(np.arange(len(counts)) == counts.argmax(), 1.0, -1.0)[None].astype(np.float32)}

    def own_baseline(
        self, name: str, rows: Mapping[str, Dataset], encoded: Mapping[str, Dataset], seed: int
    ) -> dict[str, Outputs]:
        return _frame_baselines.score(name, encoded, self.processor, self.step, len(self.labels))

    def describe(self, value: Activity) -> str:
        return _segments.describe(value.segments, self.labels)

    def render(self, row: Row, prediction: Activity, reference: Activity) -> JsonObject:
        shown = {"reference": reference.segments, "predicted": prediction.segments}
        return {**_audio.render(row["audio"]), "image": _segments.plot(row["audio"], shown, self.labels)}

    def respond(self, outputs: Outputs, side: Side) -> JsonObject:
        found = self.postprocess(outputs, side)[0].segments
        segments = [{"start": it.start, "end": it.end, "label": self.labels[it.label]} for it in found]
        return {"segments": segments, "rttm": _segments.rttm(found, self.labels, side["file"][0])}

    def illustrate(self, row: Row, outputs: Outputs, side: Side) -> Illustration:
        found = self.postprocess(outputs, side)[0].segments
        plot = _segments.plot(row["audio"], {"predicted": found}, self.labels)
        return Illustration(open_image(b64decode(plot)).convert("RGB"))

    def tiny_row(self, number: int) -> Row:
        return {"segments": [{"start": 0.0, "end": 0.2, "label": "xy"[number % 2]}]}
