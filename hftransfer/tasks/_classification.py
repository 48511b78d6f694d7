"""What the classification tasks share: one label, several labels or a number for a row, from one vector of logits."""

import re
from collections import Counter
from decimal import Decimal
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, StrictBool, StrictInt, StrictStr

from hftransfer.core.errors import DataError, RecipeError
from hftransfer.core.features import class_names
from hftransfer.core.plugins import nearest
from hftransfer.tasks import Batch, Outputs, Task

# A list as Python or JSON writes it.
_LIST = re.compile(r"\[\s*(['\"].*['\"]|\d+(\s*,\s*\d+)*)?\s*\]")


class _Classification(Task):
    """Logits of shape (rows, labels); for a regression (rows, 1)."""

    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"] | None = None
    """As in a Transformers config; left out, it is read off the label column: decimals, lists, or classes."""
    separator: str = ","
    """Between the labels of a multi-label cell that is written as one string."""
    positive: StrictStr | StrictBool | StrictInt | None = None
    """The class to be found: f1, precision, recall, roc_auc and average_precision are of it alone."""
    class_weights: Literal["balanced"] | None = None
    """`balanced`: a row counts the more, the rarer its class is among the training rows (rows / classes / its rows)."""
    focal_gamma: float = Field(default=0.0, ge=0)
    """Rows that are right already count less: the loss times (1 - chance of the right class)^gamma.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002; there 2.
    """
    mean: float | None = None
    """Of the numbers of a regression, which are learnt as (number - mean) / std; left out, of the training labels."""
    std: float | None = Field(default=None, gt=0)
    """Likewise."""

    @property
    def may_be_empty(self) -> frozenset[str]:
        """A row of several labels may have none."""
        return frozenset({"label"} if self.problem_type == "multi_label_classification" else ())

    @property
    def _single(self) -> bool:
        return self.problem_type == "single_label_classification"

    def check_row(self, row: dict[str, Any]) -> str | None:
        if self.problem_type != "regression" or "label" not in row:
            return None
        try:
            _number(row["label"], 0)
            return None
        except DataError:
            return f"the label is {row['label']!r}, not a number, in a regression"

    def metrics(self) -> list[str]:
        if self.problem_type == "regression":
            return ["r_squared", "pearsonr", "mae"]
        found = ["accuracy", "f1"] if self._single else ["f1", "accuracy"]
        return found if self.positive is None else ["f1", "precision", "recall", "accuracy"]

    def metric_options(self) -> dict[str, Any]:
        if self.positive is not None:
            if (name := str(self.positive).strip()) not in self.labels:
                raise RecipeError(f"task.positive: no class is '{name}'; {nearest(name, self.labels)}")
            return {"positive": self.labels.index(name)}
        return {"multilabel": self.problem_type == "multi_label_classification"}

    def resolve(self, rows: Any) -> Self:
        if self.problem_type is not None:
            return self
        return self.model_copy(update={"problem_type": self._kind(rows.features["label"], rows["label"][:])})

    def _kind(self, feature: Any, label: list[Any]) -> str:
        """Lists, or strings whose parts recur in others: labels. Decimals, or very many whole numbers: numbers."""
        if any(isinstance(value, list) for value in label):
            return "multi_label_classification"
        if all(isinstance(value, str) for value in label):
            whole = {value.strip() for value in label}
            parts = {part.strip() for value in whole for part in value.split(self.separator)}
            return "multi_label_classification" if len(parts) < len(whole) else "single_label_classification"
        numbers = all(isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in label)
        decimals = numbers and any(not float(value).is_integer() for value in label)
        many = numbers and not hasattr(feature, "names") and len(set(label)) > max(20, min(1000, len(label)) / 4)
        return "regression" if decimals or many else "single_label_classification"

    def learn(self, rows: Any) -> Self:
        for name in ("positive", "class_weights", "focal_gamma"):
            if getattr(self, name) != type(self).model_fields[name].default and not self._single:
                raise RecipeError(f"task.{name} is for rows of one class each")
        if (self.mean is None) != (self.std is None):
            raise RecipeError("task.mean and task.std are told together, or neither")
        if self.problem_type != "regression" or self.mean is not None:
            return self
        numbers = np.array([_number(value, row) for row, value in enumerate(rows["label"][:])])
        return self.model_copy(update={"mean": float(numbers.mean()), "std": float(numbers.std()) or 1.0})

    @property
    def one_class(self) -> bool:
        return self._single

    @property
    def replaces_loss(self) -> bool:
        return self.class_weights is not None or self.focal_gamma > 0

    def install_loss(self, model: Any, references: np.ndarray) -> None:
        import torch

        counts = np.maximum(1, np.bincount(references, minlength=len(self.labels)))
        balanced = torch.tensor(len(references) / len(counts) / counts)

        def weighted(_module: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> Any:
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

    def finish(self, model: Any) -> None:
        """Put mean and std into the last Linear's weights, so that the model itself answers in the label's unit."""
        if self.problem_type != "regression":
            return
        import torch

        heads = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.weight.requires_grad]
        with torch.no_grad():
            heads[-1].weight.mul_(self.std)
            if heads[-1].bias is not None:
                heads[-1].bias.mul_(self.std).add_(self.mean)

    def _targets(self, labels: list[Any]) -> list[Any]:
        """Labels as the loss takes them."""
        if self.problem_type != "regression":
            return labels
        assert self.mean is not None and self.std is not None
        return [(label - self.mean) / self.std for label in labels]

    def groups(self, rows: Any) -> list[Any] | None:
        return [_plain(_only(value)) for value in rows["label"][:]] if self._single else None

    def named(self, rows: Any) -> list[list[str]] | None:
        if self.problem_type == "regression":
            return None
        own, labels = class_names(rows.features["label"]), rows["label"][:]
        for row, value in enumerate(labels):
            if isinstance(value, str) and _LIST.fullmatch(value):
                raise DataError(
                    f"the label {value} (row {row}) is a list that was written as text: give lists (JSON, Parquet), or "
                    f"the labels alone with '{self.separator}' between them"
                )
        return [self._names(value, own) for value in labels]

    def find_labels(self, splits: dict[str, Any]) -> tuple[str, ...]:
        for split, rows in splits.items() if self.problem_type == "regression" else ():
            if len(rows) > 1 and len(set(rows["label"][:])) == 1:
                raise DataError(
                    f"the labels of split '{split}' are all {rows['label'][0]}, as where they are kept from "
                    "the public; data.splits names another split, or a part of the training rows"
                )
        found = super().find_labels(splits)
        if len(found) < 2 and self.problem_type != "regression":
            raise DataError(f"the training rows have only one class ({', '.join(found)}); two are needed")
        return tuple(name for name in class_names(splits["train"].features["label"]) or found if name in found)

    def _names(self, value: Any, named: list[str] | None) -> list[str]:
        if value is None:
            return []
        if isinstance(value, str):
            parts = [value] if self._single else value.split(self.separator)
            return [part.strip() for part in parts if part.strip()]
        values = [_only(value)] if self._single else value if isinstance(value, list) else [value]
        return [named[v] if named and isinstance(v, int) else str(_plain(v)) for v in values]

    def index(self, rows: Any) -> Any:
        from datasets import List, Value

        if self.problem_type == "regression":
            column: list[Any] = [_number(value, row) for row, value in enumerate(rows["label"][:])]
            return rows.remove_columns("label").add_column("label", column, feature=Value("float32"))
        ids = {name: i for i, name in enumerate(self.labels)}
        rows_ids = [[ids[name] for name in names] for names in self.named(rows) or []]
        if self._single:
            column = [row_ids[0] for row_ids in rows_ids]
            return rows.remove_columns("label").add_column("label", column, feature=Value("int64"))
        column = [[float(i in row_ids) for i in range(len(self.labels))] for row_ids in rows_ids]
        return rows.remove_columns("label").add_column("label", column, feature=List(Value("float32")))

    def config(self) -> dict[str, Any]:
        own = {"num_labels": 1} if self.problem_type == "regression" else super().config()
        return {"problem_type": self.problem_type, **own}

    def predict(self, model: Any, batch: Batch) -> Outputs:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return {"logits": model(**inputs).logits.float().cpu().numpy()}

    def postprocess(self, outputs: Outputs) -> np.ndarray:
        logits = outputs["logits"]
        if self.problem_type == "regression":
            return np.asarray(logits[:, 0])
        return np.asarray(logits.argmax(axis=1) if self._single else (logits > 0).astype(int))

    def probabilities(self, outputs: Outputs) -> np.ndarray | None:
        # In 64 bits, since chances near 1 are to be told apart.
        logits = outputs["logits"].astype(float)
        if not self._single:
            return None if self.problem_type == "regression" else np.asarray(np.exp(-np.logaddexp(0, -logits)))
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def references(self, rows: Any) -> np.ndarray:
        values = np.asarray(rows["label"][:])
        return values if self.problem_type == "regression" else values.astype(int)

    def same(self, mine: np.ndarray, theirs: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Numbers are the same within a hundredth of the references' deviation."""
        if self.problem_type == "regression":
            return np.asarray(np.abs(mine - theirs) <= 0.01 * references.std())
        return super().same(mine, theirs, references)

    def training_logits(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(self._targets(list(logits))) if self.problem_type == "regression" else logits

    def answers(self, outputs: Outputs) -> list[Any]:
        decided = self.postprocess(outputs)
        return list((decided if self._single else decided.astype(float)).tolist())

    def losses(self, outputs: Outputs, references: np.ndarray) -> np.ndarray:
        logits, probabilities = outputs["logits"], self.probabilities(outputs)
        if probabilities is None:
            return np.asarray(np.abs(logits[:, 0] - references))
        if self._single:
            right = probabilities[np.arange(len(probabilities)), references]
            return np.asarray(-np.log(np.maximum(right, np.finfo(float).tiny)))
        return np.asarray(np.logaddexp(0, np.where(references == 1, -logits, logits)).mean(axis=1))

    def majority_baseline(self, references: np.ndarray) -> Outputs:
        if self.problem_type == "regression":
            return {"logits": np.array([references.mean()])}
        if self._single:
            best, _ = Counter(references.tolist()).most_common(1)[0]
            return {"logits": np.eye(int(references.max()) + 1)[best]}
        return {"logits": np.where(references.mean(axis=0) > 0.5, 1.0, -1.0)}

    def describe(self, value: Any) -> str:
        if self.problem_type == "regression":
            return f"{float(value):.4g}"
        if self._single:
            return self.labels[int(value)]
        return ", ".join(name for name, on in zip(self.labels, value, strict=True) if on) or "none"

    def _plain(self, inputs: str) -> str:
        """`plain` out of the lines that make `inputs`."""
        names = 'names = json.loads((folder / "config.json").read_text())["id2label"]\n'
        said = {
            "regression": "print(logits[0])",
            "multi_label_classification": f"{names}print([names[str(i)] for i in np.flatnonzero(logits > 0)])",
        }.get(self.problem_type or "", f"{names}print(names[str(logits.argmax())])")
        return f"{inputs}logits = session.run(None, inputs)[0][0]\n{said}"

    def answer(self, outputs: Outputs) -> dict[str, Any]:
        probabilities = self.probabilities(outputs)
        if probabilities is None:
            return {"value": float(outputs["logits"][0, 0])}
        ranked = sorted(zip(self.labels, probabilities[0].tolist(), strict=True), key=lambda pair: -pair[1])
        return {"label": self.describe(self.postprocess(outputs)[0]), "scores": dict(ranked)}


def _only(value: Any) -> Any:
    """The label of a row that has one, in a list or not."""
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise DataError(f"a row has {len(value)} labels, {value!r:.60}, and task.problem_type says that each has one")
    return value[0]


def _plain(value: Any) -> Any:
    """2.0 and 2 are one class, and so are a word and the same with a space behind it."""
    if isinstance(value, str):
        return value.strip()
    return int(value) if isinstance(value, float | Decimal) and float(value).is_integer() else value


def _number(value: Any, row: int) -> float:
    try:
        if np.isfinite(number := float(value)):
            return number
        raise ValueError(value)
    except (TypeError, ValueError):
        raise DataError(f"the label of row {row} is {value!r}, not a number, in a regression") from None
