"""What the stages of a run share: the plan, the encoded rows, the run's folder, and the outputs of every variant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.files import flatten_outputs, nest_outputs
from hftransfer.core.run_folder import RunFolder
from hftransfer.core.variants import parse_split
from hftransfer.data.encode import EncodedSplits
from hftransfer.evaluation.inference import predict
from hftransfer.evaluation.scoring import Answers, Scorer, answers
from hftransfer.metrics import load_metric
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.frozen_features import Features, frozen_features
from hftransfer.models.weights import load_saved
from hftransfer.runner.plan import Plan
from hftransfer.tasks import Model, Outputs, Predictions, Side, Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class RunContext:
    """One run."""

    plan: Plan
    encoded: EncodedSplits
    run_folder: RunFolder
    outputs: dict[str, dict[str, Outputs]] = field(default_factory=dict)
    """Split -> variant -> outputs."""
    fitted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Variant -> fields of the task that were fitted to its outputs."""
    _references: dict[str, Predictions] = field(default_factory=dict)
    _sides: dict[str, Side] = field(default_factory=dict)
    _answers: dict[tuple[str, str], Answers] = field(default_factory=dict)
    _errors: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """Validation, test, and the test rows under corruptions."""
        return tuple(name for name in self.encoded.splits if name != "train")

    def predict(
        self, model: Model, encoded: EncodedSplits, variant: str, splits: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """The outputs of a model for some splits, flat as they are written."""
        size = self.plan.recipe.evaluation.batch_size
        return flatten_outputs(
            {
                split: predict(self.plan.task, model, encoded, split, size, f"scoring {variant} on {split}")
                for split in splits
            }
        )

    def predict_for_training(self, task: Task, model: Model, encoded: EncodedSplits, split: str) -> Outputs:
        """The outputs of any model of any task for a split."""
        return predict(task, model, encoded, split, self.plan.recipe.evaluation.batch_size, f"reading {split}")

    def predict_few(self, task: Task, model: Model, rows: EncodedSplits, split: str) -> Outputs:
        """The outputs of any model of any task for a few rows, without a word."""
        return predict(task, model, rows, split, self.plan.recipe.evaluation.batch_size)

    def frozen_features(self, name: str, load: Callable[[], Any], split: str) -> Features:
        """The frozen features of a model for a split, computed once in the life of the run."""
        size = self.plan.recipe.evaluation.batch_size
        return self.run_folder.arrays(
            f"{name}/features-{split}",
            lambda: frozen_features(self.plan.task, load(), self.encoded, split, size),
            alone=True,
        )

    def add_outputs(self, variant: str, flat: dict[str, np.ndarray]) -> None:
        """Take over the flat outputs of a variant."""
        for split, outputs in nest_outputs(flat).items():
            self.outputs.setdefault(split, {})[variant] = outputs

    def tuned_model(self) -> PreTrainedModel:
        """The tuned model as its folder holds it."""
        model = load_saved(self.plan.task, Checkpoint(str(self.run_folder.folder / "model")))
        return model.to(self.run_folder.state.device)

    def references(self, split: str) -> Predictions:
        """The references of a split, or of the test rows under a corruption (`test-noise`)."""
        rows, _ = parse_split(split)
        if rows not in self._references:
            self._references[rows] = self.plan.task.references(self.plan.rows.splits[rows])
        return self._references[rows]

    def units(self, split: str) -> list[Any] | None:
        """The units that a bootstrap of a split resamples whole."""
        rows, _ = parse_split(split)
        return self.plan.task.units(self.plan.rows.splits[rows])

    def side(self, split: str) -> Side:
        """What belongs to the model inputs of a split and no model sees."""
        if split not in self._sides:
            self._sides[split] = self.encoded.side(split)
        return self._sides[split]

    def task_of(self, variant: str) -> Task:
        """The task with what was fitted to the outputs of a variant; of an exported one, of the tuned model."""
        fields = self.fitted.get(variant, self.fitted.get("tuned", {}))
        return self.plan.task.model_copy(update=fields) if fields else self.plan.task

    def answers(self, split: str, variant: str) -> Answers:
        """The answers of a variant on the rows of a split."""
        if (split, variant) not in self._answers:
            outputs = self.outputs[split][variant]
            self._answers[split, variant] = answers(
                self.task_of(variant), outputs, self.side(split), self.references(split)
            )
        return self._answers[split, variant]

    def errors(self, split: str) -> np.ndarray:
        """How wrong the tuned model is on each row of a split, shape (rows,); 0 is right."""
        if split not in self._errors:
            task, predictions = self.task_of("tuned"), self.answers(split, "tuned").predictions
            pairs = zip(predictions, self.references(split), strict=True)
            self._errors[split] = np.array([task.error(*pair) for pair in pairs], dtype=float)
        return self._errors[split]

    def scorer(self, names: Sequence[str] | None = None) -> Scorer:
        """Metrics, those of the recipe unless others are named, with its intervals and seed."""
        evaluation, options = self.plan.recipe.evaluation, self.plan.task.metric_options()
        metrics = [load_metric(name, options) for name in names or self.plan.metrics]
        return Scorer(metrics, evaluation.confidence, evaluation.resamples, self.plan.recipe.seed)
