"""The family of the tasks whose classes are texts: a class name within a prompt, so that any class can be asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field, PrivateAttr, field_validator

from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature, Label
from hftransfer.core.plugins import natural
from hftransfer.tasks import Outputs, Row, RowTarget, Side, Task, _labels
from hftransfer.tasks._answer_hooks import Lines

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

_PLACE = "{label}"


class PromptedClasses(Task):
    """Adds classes by prompts. Outputs: `logits_per_image` of shape (rows, classes), where rows have classes.

    Validation and test rows may have classes that no training row has: these come after those of the training rows.
    """

    target: ClassVar[tuple[str, Feature] | None] = ("label", Label(optional=True))

    prompts: tuple[str, ...] = Field(default=("a photo of a {label}",), min_length=1)
    """Texts that a class name is put into, one or several, each with {label}.

    A training row without a caption has one of them; the logits of a class are the mean over all (an ensemble; Radford
    et al. 2021, https://arxiv.org/abs/2103.00020, section 3.1.4)."""

    _seen: frozenset[str] = PrivateAttr(default=frozenset())

    @field_validator("prompts")
    @classmethod
    def _has_a_place(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for prompt in value:
            if prompt.count(_PLACE) != 1 or set("{}") & set(prompt.replace(_PLACE, "")):
                raise ValueError(f"a prompt has {_PLACE} once and no other braces, as 'a photo of a {_PLACE}'")
        return value

    def prompt(self, label: str, number: int = 0) -> str:
        """A class name within the prompt of a number, counted round."""
        return self.prompts[number % len(self.prompts)].replace(_PLACE, label)

    def class_prompts(self, labels: Sequence[str]) -> list[str]:
        """All prompts of the first class, then of the second."""
        return [self.prompt(label, number) for label in labels for number in range(len(self.prompts))]

    def fit(self, rows: Dataset) -> Self:
        fitted, names = super().fit(rows), self.row_labels(rows) or []
        return fitted._with(seen=frozenset(name for name, *_ in names))

    def strata(self, rows: Dataset) -> list[Any] | None:
        if "label" not in rows.column_names:
            return None
        return _labels.strata(rows)

    def row_labels(self, rows: Dataset) -> list[list[str]] | None:
        if "label" not in rows.column_names:
            return None
        return _labels.row_names(rows)

    def find_labels(self, splits: Mapping[str, Dataset]) -> tuple[str, ...]:
        present = {name for rows in splits.values() for name in self._first_places(rows)}
        if len(present) == 1 and "text" not in splits["train"].column_names:
            raise DataError(f"the rows have only one class ({present.pop()}); two are needed")
        return tuple(sorted(present, key=lambda name: (name not in self._seen, natural(name))))

    def index_labels(self, rows: Dataset) -> Dataset:
        names = self.row_labels(rows)
        return rows if names is None else _labels.numbered(rows, names, {name: i for i, name in enumerate(self.labels)})

    def head_fits(self, config: PretrainedConfig) -> bool:
        """The classes are no part of the model."""
        return True

    @property
    def _unseen(self) -> bool:
        return bool(self._seen) and len(self._seen) < len(self.labels)

    @property
    def single_label(self) -> bool:
        return bool(self.labels)

    @property
    def has_class_targets(self) -> bool:
        """The loss compares rows of a batch with each other."""
        return False

    @property
    def row_target(self) -> RowTarget | None:
        return "class" if self.labels and not self._unseen else None

    def metric_options(self) -> dict[str, Any]:
        return {"seen": len(self._seen) or None}

    def error(self, prediction: Any, reference: Any) -> float:
        """0 for the right class, or text; else 1."""
        return float(prediction != reference)

    def wrong(self, reference: Any, prediction: Any) -> Any:
        """The next class, or no text."""
        return (reference + 1) % len(self.labels) if self.labels else ""

    def describe(self, value: Any) -> str:
        return self.labels[int(value)] if self.labels else str(value)

    def confidence(self, outputs: Outputs, side: Side) -> np.ndarray | None:
        probabilities = self.probabilities(outputs, side)
        return None if probabilities is None else probabilities.max(axis=1)

    @property
    def asked(self) -> dict[str, Feature]:
        """Classes may be left out where the run has some."""
        return super().asked | {"candidates": Lines(optional=bool(self.labels))}

    def parse(self, text: str) -> Row:
        """An image's path; after it, with a tab before each, texts to choose from in place of the classes."""
        path, *candidates = text.split("\t")
        if not candidates and not self.labels:
            raise DataError(f"'{path:.60}': the run has no classes; after the image give texts, a tab before each")
        return super().parse(path) | ({"candidates": candidates} if candidates else {})

    def respond(self, outputs: Outputs, side: Side) -> dict[str, Any]:
        probabilities = self.probabilities(outputs, side)
        assert probabilities is not None
        names = side["candidates"][0] if "candidates" in side else self.labels
        ranked = sorted(zip(names, probabilities[0].tolist(), strict=True), key=lambda pair: -pair[1])
        return {"label": ranked[0][0], "scores": dict(ranked)}

    @property
    def pipeline_example(self) -> str:
        return f'"image.png", {self._pipeline_arguments}'

    @property
    def _pipeline_arguments(self) -> str:
        if not self.labels:
            return 'candidate_labels=["A text.", "Another."], hypothesis_template="{}"'
        names = "list(pipe.model.config.id2label.values())"
        return f"candidate_labels={names}, hypothesis_template={json.dumps(self.prompt('{}'), ensure_ascii=False)}"

    @property
    def pipeline_preparation(self) -> tuple[str, str]:
        sentence, code = super().pipeline_preparation
        return sentence, code.replace("pipe(image)", f"pipe(image, {self._pipeline_arguments})")

    @property
    def usage_snippet(self) -> tuple[str, str, str] | None:
        """Of several prompts, which a pipeline does not have."""
        if len(self.prompts) == 1 or not self.labels:
            return None
        auto, prompts = self.auto_model, [self.prompt("{}", number) for number in range(len(self.prompts))]
        return (
            f"from PIL import Image\nfrom transformers import {auto}, AutoProcessor",
            f"model, processor = {auto}.from_pretrained(repo), AutoProcessor.from_pretrained(repo)",
            f"prompts = {json.dumps(prompts, ensure_ascii=False)}\n"
            "names = list(model.config.id2label.values())\n"
            "texts = [prompt.format(name) for name in names for prompt in prompts]\n"
            'padding = "max_length" if "siglip" in model.config.model_type else True\n'
            'image = Image.open("image.png").convert("RGB")\n'
            'inputs = processor(text=texts, images=image, padding=padding, truncation=True, return_tensors="pt")\n'
            "logits = model(**inputs).logits_per_image.view(len(names), -1).mean(dim=1)\n"
            "answer = names[int(logits.argmax())]",
        )

    def constant_logits(self, references: np.ndarray) -> np.ndarray:
        """The most frequent class."""
        ((most_common, _),) = Counter(references.tolist()).most_common(1)
        return np.eye(len(self.labels), dtype=np.float32)[most_common]

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        warnings = super().check(splits, config)
        if self.labels and all(name.lstrip("-").isdigit() for name in self.labels):
            shown = self.prompt(self.labels[0])
            warnings += [
                f"the class names are numbers ('{shown}'), which say little to a model: data.names gives names"
            ]
        return warnings

    def describe_labels(self, rows: Dataset) -> str:
        if not self.labels:
            return "captions"
        new = f"; {len(self.labels) - len(self._seen)} without a training row" if self._unseen else ""
        return f"{super().describe_labels(rows)}{new}, as '{self.prompt(self.labels[0])}'"
