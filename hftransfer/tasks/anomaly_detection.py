"""Rows unlike the normal ones: images, texts or log lines, recordings, rows of numbers written as text.

A frozen encoder (strategy `frozen`), and what is fitted to the features of normal training rows: the nearest neighbour,
Mahalanobis' distance, or the places of images (PatchCore, https://arxiv.org/abs/2106.08265). Labels only score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from hftransfer.core import plugins
from hftransfer.tasks import Model, ModelBatch, Outputs, Predictions, Rendered, Row, Side, _anomaly_baseline
from hftransfer.tasks import _anomaly_fit as detector
from hftransfer.tasks import _anomaly_scores as scores
from hftransfer.tasks._anomaly_inputs import AnyInput, refuse_patches
from hftransfer.tasks._anomaly_labels import NormalRows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel

_NOTHING = "nothing is trained, normal rows are only compared with: use frozen, on the run of another task if need be"


class AnomalyDetection(NormalRows, AnyInput):
    """Rows to a score, and whether it is above a threshold fitted to normal validation rows.

    Outputs: `score` of shape (rows,), of methods on patches also `map` of shape (rows, height, width).
    """

    auto_model: ClassVar[str] = "AutoModel"
    auto_processor: ClassVar[str] = "AutoImageProcessor"
    metrics: ClassVar[list[str]] = ["roc_auc", "average_precision", "recall", "false_alarm_rate"]
    output_names: ClassVar[tuple[str, ...]] = ("score",)
    own_baselines: ClassVar[tuple[str, ...]] = _anomaly_baseline.NAMES
    refuses: ClassVar[dict[str, str]] = {it: _NOTHING for it in plugins.names("strategies") if it != "frozen"}
    tiny_model: ClassVar[str] = "vit"
    suggested_checkpoints = {
        "image": ("facebook/dinov2-small", "sample:mobilenet_v2"),
        "text": ("sentence-transformers/all-MiniLM-L6-v2", "sample:minilm"),
        "audio": ("facebook/wav2vec2-base-960h", "sample:whisper_tiny_en"),
    }

    method: Literal["knn", "mahalanobis", "patch_knn", "patch_mahalanobis"] = "knn"
    """`knn`: the distance to the nearest normal rows; `mahalanobis`: to their mean, by their covariance, shrunk as by
    Ledoit and Wolf; `patch_...`: the same of places of an image, for defects that are small."""
    false_alarms: float = Field(default=0.05, gt=0, lt=1)
    """The share of normal rows above the threshold, which normal validation rows settle."""
    neighbours: int = Field(default=1, ge=1, le=1000)
    """Nearest vectors whose distances are averaged."""
    bank: int = Field(default=2000, ge=1, le=10**6)
    """Vectors of normal rows that are compared with, at most."""
    coreset: Literal["greedy", "random"] = "greedy"
    """How they are chosen where there are more: each the farthest from those before, or at random."""
    scale: Literal["length", "deviation", "whiten"] | None = None
    """What is done to features first: vectors of length 1, channels of one deviation, or channels decorrelated. Left
    out, `length` for knn and `whiten` for the others."""
    layers: list[str] = []
    """Modules of the encoder whose outputs patches are made of; left out, the blocks after a quarter and half of it."""
    smooth: int = Field(default=3, ge=1, le=101)
    """Places of a side over which the distances of an image are averaged, an odd number."""
    top: int = Field(default=1, ge=1, le=10**6)
    """The largest distances of an image whose mean is its score."""
    threshold: float | None = Field(default=None, gt=0, le=1e12)
    """The score above which a row is an anomaly; left out, fitted to the normal validation rows."""

    @property
    def _patches(self) -> bool:
        return self.method.startswith("patch_")

    def infer(self, rows: Dataset) -> Self:
        inferred = super().infer(rows)
        if self._patches:
            refuse_patches(inferred.modality, self.method)
        return inferred

    def config_fields(self) -> dict[str, Any]:
        return super().config_fields() | {"anomaly": scores.description(self)}

    def head_fits(self, config: PretrainedConfig) -> bool:
        """What an earlier run has fitted was fitted to other rows."""
        return False

    def model_loader(self, config: PretrainedConfig) -> Any:
        from hftransfer.tasks._anomaly_model import loader

        return loader(config, scores.description(self))

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        references = {split: self.references(rows) for split, rows in splits.items()}
        return super().check(splits, config) + scores.check(self, references, config)

    def fit_frozen(
        self,
        model: PreTrainedModel,
        batches: Callable[[np.ndarray], Iterable[ModelBatch]],
        references: Predictions,
        seed: int,
    ) -> str:
        return scores.fit_model(self, model, batches, np.flatnonzero(references == 0), seed)

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        return scores.outputs(self, model, batch)

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """A part of training rows that are all normal has no anomalies to find."""
        return ("test",)

    @property
    def fit_splits(self) -> tuple[str, ...]:
        return ("validation",) if self.threshold is None else ()

    def fit_outputs(
        self, outputs: Mapping[str, Outputs], side: Mapping[str, Side], references: Mapping[str, Predictions]
    ) -> dict[str, Any]:
        normal = outputs["validation"]["score"][references["validation"] == 0]
        return {"threshold": detector.fit_threshold(normal, self.false_alarms)}

    def probabilities(self, outputs: Outputs, side: Side) -> np.ndarray | None:
        return detector.as_probabilities(outputs["score"], self.threshold)

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        return (outputs["score"] > (np.inf if self.threshold is None else self.threshold)).astype(int)

    def own_baseline(
        self, name: str, rows: Mapping[str, Dataset], encoded: Mapping[str, Dataset], seed: int
    ) -> dict[str, Outputs]:
        return _anomaly_baseline.scores(name, self, rows, self.references(rows["train"]) == 0, seed)

    def render_scored(self, row: Row, prediction: Any, reference: Any, outputs: Outputs) -> Rendered:
        shown = self.render(row, prediction, reference)
        return scores.heat_map(self.rgb(row["image"]), outputs["map"], self.threshold) if "map" in outputs else shown

    def respond(self, outputs: Outputs, side: Side) -> dict[str, Any]:
        found = self.describe(self.postprocess(outputs, side)[0])
        return {"label": found, "score": float(outputs["score"][0]), "threshold": self.threshold}

    @property
    def usage_snippet(self) -> tuple[str, str, str]:
        from hftransfer.tasks._anomaly_snippet import usage

        return usage(self)

    def tiny_row(self, number: int) -> Row:
        return {"label": ("normal", "anomaly")[number % 2]}
