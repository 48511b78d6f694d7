"""The answer to a question as a span of a context (extractive; BERT, RoBERTa, DeBERTa).

https://huggingface.co/docs/transformers/tasks/question_answering
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.features import Feature, Json, Text
from hftransfer.metrics._squad import answer_f1
from hftransfer.tasks import (
    Encoded,
    ModelBatch,
    Outputs,
    Predictions,
    Processor,
    Rows,
    Side,
    Task,
    _spans,
    object_array,
)
from hftransfer.tasks._limits import check_sampled_ids, refuse_unknown_ids
from hftransfer.tasks._text import check_positions, open_for_pairs, pad_batch, with_offsets

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact


class QuestionAnswering(Task):
    """Questions and contexts, read in overlapping windows, to answers in the context's own spelling.

    Outputs: `start_logits` and `end_logits` of shape (windows, tokens)."""

    inputs: ClassVar[dict[str, Feature]] = {"question": Text(), "context": Text()}
    target: ClassVar[tuple[str, Feature] | None] = ("answers", Json())
    auto_model: ClassVar[str] = "AutoModelForQuestionAnswering"
    auto_processor: ClassVar[str] = "AutoTokenizer"
    metrics: ClassVar[list[str]] = ["exact_match", "squad_f1"]
    output_names: ClassVar[tuple[str, ...]] = ("start_logits", "end_logits")
    label_names: ClassVar[tuple[str, ...]] = ("start_positions", "end_positions")
    refuses: ClassVar[dict[str, str]] = {
        "few_shot": "it compares rows of one class each, and these have answers",
        "distill": "the spans of a teacher are no labels for another model",
    }
    tiny_model: ClassVar[str] = "bert"
    suggested_checkpoints = {"question": ("distilbert/distilbert-base-uncased", "sample:minilm")}

    max_length: int = Field(default=384, ge=16, le=10**6)
    """Tokens of question and context in a window."""
    stride: int = Field(default=128, ge=0, le=10**6)
    """Tokens that two neighbouring windows of a context share."""
    max_answer_length: int = Field(default=30, ge=1, le=10**4)
    """Tokens of an answer at most."""
    no_answer_threshold: float | None = Field(default=None, ge=-1e6, le=1e6)
    """By how much the logits of no answer exceed those of the best, for none; left out, fitted to validation rows."""

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        return with_offsets(open_for_pairs(read, self.auto_processor, config))

    def check_row(self, row: dict[str, Any]) -> str | None:
        return _spans.fault(row["context"], row["answers"]) if "answers" in row else None

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        check_positions(self.auto_model, config, self.max_length, self.processor)
        warnings = _spans.check(splits["train"], self.processor, self.max_length, self.stride)
        check_sampled_ids(splits, self.processor, config, self.encode)
        return warnings

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        encoded, answered = self.encode(rows[:]), np.array([bool(_spans.texts(cell)) for cell in rows["answers"]])
        return {"label_lost": _spans.out_of_reach(encoded, answered, self.max_answer_length)}

    def encode(self, rows: Rows) -> Encoded:
        windows, row, spans = _spans.windows(self.processor, rows, self.max_length, self.stride)
        refuse_unknown_ids(windows["input_ids"], self.processor, self.architecture)
        if "answers" in rows:
            windows |= _spans.positions(rows["answers"], row, spans)
        side = {"spans": spans, "context": [rows["context"][number] for number in row]}
        return Encoded(windows, side, row, [len(ids) for ids in windows["input_ids"]])

    def collate(self, encoded: list[dict[str, Any]]) -> ModelBatch:
        return pad_batch(self.processor, encoded)

    def outputs(self, model: Callable[..., Any], batch: ModelBatch, side: Side) -> Outputs:
        result = model(**{name: tensor for name, tensor in batch.items() if name not in self.label_names})
        return {name: getattr(result, name).float().cpu().numpy() for name in self.output_names}

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        texts, gaps = _spans.best_answers(outputs, side, self.max_answer_length)
        threshold = np.inf if self.no_answer_threshold is None else self.no_answer_threshold
        return object_array(["" if gap > threshold else text for text, gap in zip(texts, gaps, strict=True)])

    def references(self, rows: Dataset) -> Predictions:
        return object_array([_spans.texts(cell) for cell in rows["answers"][:]])

    def wrong(self, reference: list[str], prediction: str) -> str:
        """No answer, or some where there is none."""
        return "" if any(reference) else "?"

    def error(self, prediction: str, reference: str | list[str]) -> float:
        return 1 - answer_f1(prediction, [reference] if isinstance(reference, str) else reference)

    @property
    def fit_splits(self) -> tuple[str, ...]:
        return ("validation",)

    def fit_outputs(
        self, outputs: Mapping[str, Outputs], side: Mapping[str, Side], references: Mapping[str, Predictions]
    ) -> dict[str, Any]:
        if self.no_answer_threshold is not None:
            return {}
        split, longest = "validation", self.max_answer_length
        return _spans.fit_threshold(outputs[split], side[split], references[split], longest)

    def describe(self, value: Any) -> str:
        return " / ".join([value] if isinstance(value, str) else value) or "no answer"

    def respond(self, outputs: Outputs, side: Side) -> dict[str, Any]:
        return {"answer": self.postprocess(outputs, side)[0]}

    @property
    def usage_snippet(self) -> tuple[str, str, str]:
        return _spans.usage(self.max_length)

    def tiny_row(self, number: int) -> dict[str, Any]:
        word = ("good", "bad")[number % 2]
        return {"question": "a", "context": f"b {word} {number}", "answers": {"text": [word], "answer_start": [2]}}
