"""The family of the classification tasks: one class, several classes or a number a row, from one vector of logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from hftransfer.core.arrow import for_each, read_column, with_column
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.core.features import Feature, Label, class_names
from hftransfer.tasks import Model, ModelBatch, Outputs, Predictions, Row, RowTarget, Side, _labels
from hftransfer.tasks._choice_hooks import Sampled, values_of
from hftransfer.tasks._decisions import Decisions
from hftransfer.tasks._label_kinds import infer_kind, separator_of

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

# Numbers that differ by less than this share of the labels' standard deviation are equal answers.
_TOLERANCE = 0.01


class Classification(Decisions):
    """Adds labels, class weights and regression.

    Outputs: `logits` of shape (rows, labels); for numbers (rows, 1).

    A task of the family adds its inputs: `encode` (with `_targets(labels)` as `labels`) and `collate`.
    """

    target: ClassVar[tuple[str, Feature] | None] = ("label", Label())
    metrics: ClassVar[list[str]] = ["accuracy", "f1"]

    class_weights: Literal["balanced"] | None = None
    """`balanced`: the loss of a row is weighted by the rarity of its class (rows / classes / rows of the class)."""
    focal_gamma: float = Field(default=0.0, ge=0, le=100)
    """Focal loss: rows that are right already count less, by (1 - probability of the right class)^gamma.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002; there 2.
    """
    mean: float | None = None
    """Of the numbers of a regression, which are learnt as (number - mean) / std; left out, of the training labels."""
    std: float | None = Field(default=None, gt=0)
    """Standard deviation of the numbers of a regression; left out, of the training labels."""

    @classmethod
    def likeness(cls, columns: Mapping[str, str], rows: Sampled) -> float:
        """A column of one class teaches nothing."""
        labels = values_of(rows, "label")
        return -3.0 if labels and len({str(label) for label in labels}) < 2 else 0.0

    @property
    def may_be_empty(self) -> frozenset[str]:
        """A row of several labels may have none."""
        return frozenset({"label"} if self.problem_type == "multi_label_classification" else ())

    def infer(self, rows: Dataset) -> Self:
        if self.problem_type is not None:
            return self
        named = class_names(rows.features["label"]) is not None
        kind, warnings = infer_kind(read_column(rows, "label"), self.separator, named=named)
        return self.model_copy(update={"problem_type": kind})._with(inferred=True, guesses=warnings)

    @classmethod
    def suggested_fields(cls, rows: Dataset) -> dict[str, Any]:
        """Labels that recur with ; or | between them are several a row."""
        values = read_column(rows, "label") if "label" in rows.column_names else []
        separator = separator_of([cell for cell in values if cell is not None])
        return super().suggested_fields(rows) | ({"separator": separator} if separator else {})

    def marks_labels(self, values: Sequence[Any]) -> bool:
        return not self._regression and _labels.are_vectors(values)

    def fit(self, rows: Dataset) -> Self:
        for name in ("positive", "class_weights", "focal_gamma"):
            if getattr(self, name) != type(self).model_fields[name].default and not self.single_label:
                raise RecipeError(f"task.{name} is for rows of one class each")
        if (self.mean is None) != (self.std is None):
            raise RecipeError("task.mean and task.std are given together, or neither")
        if not self._regression or self.mean is not None:
            return self
        numbers = np.array([_labels.number(value, row) for row, value in enumerate(read_column(rows, "label"))])
        return self.model_copy(update={"mean": float(numbers.mean()), "std": float(numbers.std()) or 1.0})

    def check_row(self, row: Row) -> str | None:
        if not self._regression or "label" not in row or _labels.is_finite(row["label"]):
            return None
        hint = _labels.notation_hint(row["label"])
        return f"the label is {row['label']!r:.60}, not a number, in a regression{hint}"

    def strata(self, rows: Dataset) -> list[Any] | None:
        if not self.single_label:
            return None
        return _labels.strata(rows)

    def row_labels(self, rows: Dataset) -> list[list[str]] | None:
        if self._regression:
            return None
        labels, named = read_column(rows, "label"), class_names(rows.features["label"])
        _labels.refuse_written_lists(labels, self.separator)
        separator = None if self.single_label else self.separator
        return for_each(lambda cell: _labels.names(cell, named, separator), labels)

    def find_labels(self, splits: Mapping[str, Dataset]) -> tuple[str, ...]:
        for split, rows in splits.items() if self._regression else ():
            if len(rows) > 1 and len(set(read_column(rows, "label"))) == 1:
                raise DataError(
                    f"the labels of split '{split}' are all {rows['label'][0]}, as in a benchmark whose labels are "
                    "hidden; data.splits names another split, or a part of the training rows"
                )
        try:
            found = super().find_labels(splits)
        except DataError as error:
            numbers = all(map(_labels.is_number, self._first_places(splits["train"])))
            hint = "; where the numbers are quantities, task.problem_type: regression" if numbers else ""
            raise DataError(f"{error}{hint}") from None
        if len(found) < 2 and not self._regression:
            raise DataError(f"the training rows have only one class ({', '.join(found)}); two are needed")
        return tuple(name for name in class_names(splits["train"].features["label"]) or found if name in found)

    def index_labels(self, rows: Dataset) -> Dataset:
        from datasets import List, Value

        bare = rows.remove_columns("label")
        if self._regression:
            numbers = [_labels.number(value, row) for row, value in enumerate(read_column(rows, "label"))]
            return with_column(bare, "label", numbers, feature=Value("float32"))
        ids = {name: i for i, name in enumerate(self.labels)}
        names = self.row_labels(rows) or []
        if self.single_label:
            return _labels.numbered(rows, names, ids)
        flags = np.zeros((len(names), len(self.labels)), dtype=np.float32)
        for row, several in enumerate(names):
            flags[row, [ids[name] for name in several]] = 1
        return with_column(bare, "label", list(flags), feature=List(Value("float32")))

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        self.check_thresholds()
        return []

    def config_fields(self) -> dict[str, Any]:
        fields = {"num_labels": 1} if self._regression else super().config_fields()
        thresholds = {"thresholds": self.thresholds} if self.thresholds else {}
        return {"problem_type": self.problem_type, **fields, **thresholds}

    def head_fits(self, config: PretrainedConfig) -> bool:
        """Most checkpoints leave the problem type to the labels that they are given; numbers have no names."""
        if self._regression or getattr(config, "problem_type", None) not in (None, self.problem_type):
            return False
        return super().head_fits(config)

    @property
    def replaces_loss(self) -> bool:
        return self.class_weights is not None or self.focal_gamma > 0

    def install_loss(self, model: PreTrainedModel, references: Predictions) -> None:
        import torch

        counts = np.maximum(1, np.bincount(references, minlength=len(self.labels)))
        balanced = torch.tensor(len(references) / len(counts) / counts)

        def weighted(_module: Any, _args: Any, kwargs: ModelBatch, output: Any) -> Any:
            labels = kwargs.get("labels")
            if labels is None or "logits" not in output:
                return output
            losses = torch.nn.functional.cross_entropy(output.logits, labels, reduction="none")
            weights = balanced.to(losses)[labels] if self.class_weights else torch.ones_like(losses)
            # At 0 a power below 1 has no gradient.
            focus = (1 - torch.exp(-losses)).clamp(min=1e-6) ** self.focal_gamma
            output.loss = (weights * focus * losses).sum() / weights.sum()
            return output

        # Before the hooks of a strategy, whose loss then takes the place of this one.
        model.register_forward_hook(weighted, with_kwargs=True, prepend=True)

    def script_values(self, rows: Dataset) -> dict[str, Any]:
        if not self.single_label:
            raise RecipeError(f"eject: its scripts are for rows of one class each, and these are a {self.problem_type}")
        if self.replaces_loss:
            raise RecipeError("eject: its scripts have no task.class_weights or task.focal_gamma")
        if self.threshold is not None or self.thresholds is not None:
            raise RecipeError("eject: its scripts predict the most probable class, without task.threshold")
        return super().script_values(rows)

    def finalize(self, model: PreTrainedModel) -> None:
        """Fold mean and std into the last Linear layer, so that the model itself answers in the label's unit."""
        if not self._regression:
            return
        import torch

        layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.weight.requires_grad]
        with torch.no_grad():
            layers[-1].weight.mul_(self.std)
            if layers[-1].bias is not None:
                layers[-1].bias.mul_(self.std).add_(self.mean)

    def _targets(self, labels: list[Any]) -> list[Any]:
        """Labels as the loss takes them."""
        if not self._regression:
            return labels
        assert self.mean is not None and self.std is not None
        return [(label - self.mean) / self.std for label in labels]

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return {"logits": model(**inputs).logits.float().cpu().numpy()}

    def references(self, rows: Dataset) -> Predictions:
        values = np.asarray(read_column(rows, "label"))
        return values if self._regression else values.astype(int)

    def error(self, prediction: Any, reference: Any) -> float:
        """0 or 1; the share of wrong labels; of numbers the distance in standard deviations, below 0.01 none."""
        if self._regression:
            distance = abs(float(prediction) - float(reference)) / (self.std or 1.0)
            return distance if distance > _TOLERANCE else 0.0
        return float(np.mean(np.asarray(prediction) != np.asarray(reference)))

    def describe_labels(self, rows: Dataset) -> str:
        if self._regression:
            numbers = rows["label"][:]
            shown = f"numbers from {min(numbers):.6g} to {max(numbers):.6g}"
        else:
            shown = f"{super().describe_labels(rows)}; {'one' if self.single_label else 'several'} a row"
        return f"{shown} (task.problem_type: {self.problem_type}{', inferred' if self._inferred else ''})"

    def wrong(self, reference: Any, prediction: Any) -> Any:
        """The next class, the other answer to each label, or a number that is three standard deviations off."""
        if self._regression:
            return reference + 3 * (self.std or 1.0)
        return (reference + 1) % len(self.labels) if self.single_label else 1 - reference

    def default_metrics(self) -> list[str]:
        if self._regression:
            return ["r_squared", "pearsonr", "mae"]
        if self.positive is not None:
            return ["f1", "precision", "recall", "accuracy"]
        return self.metrics if self.single_label else ["f1", "accuracy"]

    def training_logits(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(self._targets(list(logits))) if self._regression else logits

    def distillation_loss(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """As for classes; each of several labels is a choice of two; of numbers the squared distance."""
        from torch.nn import functional

        if self.single_label:
            return super().distillation_loss(student, teacher, temperature)
        if self._regression:
            return functional.mse_loss(student, teacher)
        probabilities = (teacher / temperature).sigmoid()
        entropy = functional.binary_cross_entropy_with_logits(teacher / temperature, probabilities)
        cross_entropy = functional.binary_cross_entropy_with_logits(student / temperature, probabilities)
        return temperature**2 * (cross_entropy - entropy)

    def pseudo_labels(self, outputs: Outputs, side: Side) -> list[Any]:
        predictions = self.postprocess(outputs, side)
        labels: list[Any] = (predictions if self.single_label else predictions.astype(float)).tolist()
        return labels

    @property
    def row_target(self) -> RowTarget:
        if self._regression:
            return "number"
        return "class" if self.single_label else "classes"

    def baseline(self, references: Predictions) -> Outputs:
        if self._regression:
            return {"logits": np.array([references.mean()])}
        if self.single_label:
            most_common, _ = Counter(references.tolist()).most_common(1)[0]
            return {"logits": np.eye(int(references.max()) + 1)[most_common]}
        return {"logits": np.where(references.mean(axis=0) > 0.5, 1.0, -1.0)}

    @property
    def pipeline_activation(self) -> str:
        return {"regression": "none", "multi_label_classification": "sigmoid"}.get(self.problem_type or "", "")

    @property
    def model_outputs(self) -> int | None:
        return 1 if self._regression else None
