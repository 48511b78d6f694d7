"""How a classification answers: probabilities, the thresholds from which labels are predicted, and its confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np
from pydantic import StrictBool, StrictInt, StrictStr, field_validator

from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import nearest
from hftransfer.tasks import Outputs, Predictions, Side, Task
from hftransfer.tasks._thresholds import MOST_UNCERTAIN, ThresholdRule, check_rule, fit_thresholds


class Decisions(Task):
    """Adds what is made of `logits` of shape (rows, labels), for numbers (rows, 1)."""

    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"] | None = None
    """As in a Transformers config; left out, it is inferred from the labels: decimals, lists, or classes."""
    separator: str = ","
    """Between the labels of a multi-label cell that is written as one string."""
    positive: StrictStr | StrictBool | StrictInt | None = None
    """The class to be found: f1, precision, recall, roc_auc and average_precision are of it alone."""
    threshold: ThresholdRule | None = None
    """How the probability from which a label, or the class `positive`, is predicted is chosen on the validation rows:
    `f1` (the highest F1), `{recall_at_precision: 0.9}` (the highest recall of at least this precision) or `{cost:
    {false_positive: 1, false_negative: 5}}` (the lowest cost). Left out, the most probable class is predicted, and of
    several labels those above 0.5."""
    thresholds: dict[str, float] | None = None
    """Label (or the class `positive`) -> probability above which it is predicted; left out, `threshold` chooses."""

    @field_validator("threshold", mode="before")
    @classmethod
    def _is_a_rule(cls, value: object) -> object:
        return check_rule(value)

    @field_validator("thresholds")
    @classmethod
    def _are_probabilities(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        for label, probability in (value or {}).items():
            if not 0 <= probability <= 1:
                raise ValueError(f"{label}: a probability lies between 0 and 1, got {probability}")
        return value

    @property
    def single_label(self) -> bool:
        return self.problem_type == "single_label_classification"

    @property
    def _regression(self) -> bool:
        return self.problem_type == "regression"

    @property
    def _positive_place(self) -> int | None:
        """The number of the class `positive`.

        Raises:
            RecipeError: no class is called so.
        """
        if self.positive is None:
            return None
        name = str(self.positive).strip()
        if isinstance(self.positive, bool):
            name = next((label for label in self.labels if label.casefold() == name.casefold()), name)
        if name not in self.labels:
            raise RecipeError(f"task.positive: no class is '{name}'; {nearest(name, self.labels)}")
        return self.labels.index(name)

    def check_thresholds(self) -> None:
        """Make sure that there are labels that the thresholds can be of.

        Raises:
            RecipeError: rows have one class each and none is `positive`, or numbers; a label is unknown.
        """
        named = "threshold" if self.threshold is not None else "thresholds"
        if (self.threshold or self.thresholds) and (self._regression or (self.single_label and self.positive is None)):
            raise RecipeError(f"task.{named} is for rows of several labels, or of one class with task.positive")
        allowed = self._decided
        for label in self.thresholds or {}:
            if label not in allowed:
                raise RecipeError(f"task.thresholds: no threshold can be of '{label}'; {nearest(label, allowed)}")

    @property
    def _decided(self) -> tuple[str, ...]:
        """The labels that may have thresholds."""
        place = self._positive_place
        return self.labels if place is None else (self.labels[place],)

    @property
    def fit_splits(self) -> tuple[str, ...]:
        return ("validation",) if self.threshold is not None and self.thresholds is None else ()

    def fit_outputs(
        self, outputs: Mapping[str, Outputs], side: Mapping[str, Side], references: Mapping[str, Predictions]
    ) -> dict[str, Any]:
        fitted = self._fit_thresholds(outputs, side, references)
        if self.single_label:
            return {"thresholds": {label: it for label, it in fitted.items() if not isinstance(it, str)}}
        return {"thresholds": {label: MOST_UNCERTAIN if isinstance(it, str) else it for label, it in fitted.items()}}

    def fit_warnings(
        self, outputs: Mapping[str, Outputs], side: Mapping[str, Side], references: Mapping[str, Predictions]
    ) -> list[str]:
        fitted = self._fit_thresholds(outputs, side, references)
        without = "the most probable class is predicted" if self.single_label else f"{MOST_UNCERTAIN} is kept"
        return [
            f"task.threshold: '{label}' has no threshold of its own, {without}: {reason}"
            for label, reason in fitted.items()
            if isinstance(reason, str)
        ]

    def _fit_thresholds(
        self, outputs: Mapping[str, Outputs], side: Mapping[str, Side], references: Mapping[str, Predictions]
    ) -> dict[str, float | str]:
        """Label -> its threshold, or why it has none."""
        scores, place = self.probabilities(outputs["validation"], side["validation"]), self._positive_place
        assert scores is not None
        flags = references["validation"]
        if place is not None:
            scores, flags = scores[:, [place]], (flags == place)[:, None]
        return dict(zip(self._decided, fit_thresholds(scores, flags, self.threshold), strict=True))

    def probabilities(self, outputs: Outputs, side: Side) -> np.ndarray | None:
        # In 64 bits, to tell probabilities near 1 apart.
        logits = outputs["logits"].astype(float)
        if not self.single_label:
            return None if self._regression else np.asarray(np.exp(-np.logaddexp(0, -logits)))
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        logits = outputs["logits"]
        if self._regression:
            return np.asarray(logits[:, 0])
        if not self.thresholds:
            return np.asarray(logits.argmax(axis=1) if self.single_label else (logits > 0).astype(int))
        probabilities = cast(np.ndarray, self.probabilities(outputs, side))
        place = self._positive_place
        if place is None:
            lowest = np.array([self.thresholds.get(label, MOST_UNCERTAIN) for label in self.labels])
            return np.asarray((probabilities > lowest).astype(int))
        found = probabilities[:, place] > self.thresholds[self.labels[place]]
        others = logits.copy()
        others[:, place] = -np.inf
        return np.where(found, place, others.argmax(axis=1))

    def confidence(self, outputs: Outputs, side: Side) -> np.ndarray | None:
        """The probability of the predicted class; of several labels that of the answer to the least certain one."""
        probabilities = self.probabilities(outputs, side)
        if probabilities is None:
            return None
        predicted = self.postprocess(outputs, side)
        if self.single_label:
            return np.asarray(probabilities[np.arange(len(predicted)), predicted])
        return np.asarray(np.where(predicted == 1, probabilities, 1 - probabilities).min(axis=1))

    def metric_options(self) -> dict[str, Any]:
        place = self._positive_place
        if place is not None:
            return {"positive": place}
        return {"multilabel": self.problem_type == "multi_label_classification"}

    def describe(self, value: Any) -> str:
        if self._regression:
            return f"{float(value):.4g}"
        if self.single_label:
            return self.labels[int(value)]
        return ", ".join(name for name, flag in zip(self.labels, value, strict=True) if flag) or "none"

    def respond(self, outputs: Outputs, side: Side) -> dict[str, Any]:
        probabilities = self.probabilities(outputs, side)
        if probabilities is None:
            return {"value": float(outputs["logits"][0, 0])}
        ranked = sorted(zip(self.labels, probabilities[0].tolist(), strict=True), key=lambda pair: -pair[1])
        return {"label": self.describe(self.postprocess(outputs, side)[0]), "scores": dict(ranked)}

    def _snippet(self, inputs: str) -> str:
        """`runtime_snippet` out of the lines that make `inputs`."""
        config = 'config = json.loads((folder / "config.json").read_text())\nnames = config["id2label"]\n'
        if self._regression:
            answer = "print(logits[0])"
        elif self.thresholds and self.single_label:
            positive = self._decided[0]
            answer = (
                f"{config}probabilities = np.exp(logits - logits.max())\nprobabilities /= probabilities.sum()\n"
                f'place = {self.labels.index(positive)}\nfound = probabilities[place] > config["thresholds"]'
                f"[names[str(place)]]\nprobabilities[place] = float(found)\nprint(names[str(probabilities.argmax())])"
            )
        elif self.thresholds:
            answer = (
                f"{config}probabilities = 1 / (1 + np.exp(-logits))\n"
                "labels = [names[str(i)] for i in range(len(logits))]\n"
                'print([label for label, it in zip(labels, probabilities) if it > config["thresholds"][label]])'
            )
        elif self.single_label:
            answer = f"{config}print(names[str(logits.argmax())])"
        else:
            answer = f"{config}print([names[str(i)] for i in np.flatnonzero(logits > 0)])"
        return f"{inputs}logits = session.run(None, inputs)[0][0]\n{answer}"
